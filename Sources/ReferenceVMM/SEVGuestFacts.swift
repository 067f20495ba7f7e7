import BatonWire
import SEVABI

/// What a successor has to know of a SEV guest, in the manifest's details.
///
/// | offset | width | field |
/// | --- | --- | --- |
/// | 0 | 1 | 1, the version of this layout |
/// | 1 | 1 | 1 if register state is encrypted (SEV-ES), else 0 |
/// | 2 | 8 | address of the registered memory in the process that launched the guest |
/// | 10 | 8 | its size in bytes |
struct SEVGuestFacts: Hashable, Sendable {
  var hasEncryptedState: Bool
  /// Memory is unregistered by exactly what it was registered with, wherever the successor has it mapped.
  var region: EncryptedRegion

  init(hasEncryptedState: Bool, region: EncryptedRegion) {
    self.hasEncryptedState = hasEncryptedState
    self.region = region
  }

  func encoded() -> [UInt8] {
    var writer = ByteWriter(capacity: 18)
    writer.write(UInt8(1))
    writer.write(hasEncryptedState)
    writer.write(region.address)
    writer.write(region.size)
    return writer.bytes
  }

  /// Nothing if the bytes are not such facts.
  init?(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    do throws(WireError) {
      guard try reader.read(UInt8.self, "layout of a SEV guest's facts") == 1 else { return nil }
      hasEncryptedState = try reader.readFlag("encrypted state flag")
      region = EncryptedRegion(
        address: try reader.read(UInt64.self, "region address"),
        size: try reader.read(UInt64.self, "region size"))
      try reader.finish()
    } catch { return nil }
  }
}
