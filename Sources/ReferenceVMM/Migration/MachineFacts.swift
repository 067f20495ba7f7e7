import BatonWire
import GuestImage

/// What a target has to know of a guest's machine besides the manifest.
///
/// | offset | width | field |
/// | --- | --- | --- |
/// | 0 | 1 | 1, the version of this layout |
/// | 1 | 1 | the machine's kind, as saved state has it |
struct MachineFacts: Hashable {
  var kind: MachineKind

  func encoded() -> [UInt8] { [1, kind.rawValue] }

  init(kind: MachineKind) { self.kind = kind }

  /// Nothing if the bytes are not such facts.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == 2, bytes[0] == 1, let kind = MachineKind(rawValue: bytes[1]) else { return nil }
    self.kind = kind
  }
}

extension MachineConfiguration {
  /// Where guest RAM lies: below the hole for devices, and above it.
  var ramRegions: [RAMRegion] {
    let low = min(ramBytes, GuestABI.lowBytes)
    var regions = [
      RAMRegion(guestPhysicalAddress: 0, byteCount: UInt64(low), file: 0, fileOffset: 0)
    ]
    if ramBytes > low {
      regions.append(
        RAMRegion(
          guestPhysicalAddress: GuestABI.guestPhysicalAddress(ofRAMOffset: UInt64(low)),
          byteCount: UInt64(ramBytes - low), file: 0, fileOffset: UInt64(low)))
    }
    return regions
  }
}
