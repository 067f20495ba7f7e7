import BatonWire
public import LinuxOS

/// A disk image that one guest writes to, held under an open-file-description write lock.
///
/// The lock belongs to the open file and travels with the descriptor; the image is opened once in
/// the guest's life and never again.
public final class Disk: Sendable {
  public static let sectorBytes = 512
  /// Size of an image that is created.
  public static let defaultSectors = 2048
  private static let magic: UInt64 = 0x4B53_4944_4E54_4142  // "BATNDISK"

  private let descriptor: OwnedDescriptor
  /// How many sectors the image has; write n goes to sector n mod this.
  public let sectorCount: UInt64

  /// Opens (or creates) the image and takes the lock.
  ///
  /// - Throws: `EAGAIN` when another open file holds the lock.
  public convenience init(path: String) throws(SystemError) {
    let descriptor = try Files.open(path, .createReadWrite)
    try descriptor.lockExclusively()
    if try descriptor.identity().byteCount < UInt64(Self.sectorBytes) {
      try descriptor.truncate(to: UInt64(Self.sectorBytes * Self.defaultSectors))
    }
    try self.init(adopting: descriptor)
  }

  /// Takes over a descriptor that came from the source, with its lock.
  ///
  /// - Throws: `EAGAIN` when the lock is another open file's, so that this one never had it.
  public init(adopting descriptor: consuming OwnedDescriptor) throws(SystemError) {
    // Taking it again on the same open file changes nothing and proves that it is ours.
    try descriptor.lockExclusively()
    sectorCount = max(1, try descriptor.identity().byteCount / UInt64(Self.sectorBytes))
    self.descriptor = descriptor
  }

  /// A second descriptor of the same open file, to be handed over.
  public func duplicateDescriptor() throws(SystemError) -> OwnedDescriptor { try descriptor.duplicate() }

  /// Writes sequence number `sequence` into its sector.
  func write(_ sequence: UInt64) throws(SystemError) {
    var writer = ByteWriter(capacity: Self.sectorBytes)
    writer.write(Self.magic)
    writer.write(sequence)
    writer.write(MonotonicClock.now())
    writer.write(sequence ^ Self.magic)
    writer.write(raw: [UInt8](repeating: 0, count: Self.sectorBytes - writer.bytes.count))
    try descriptor.write(writer.bytes, at: (sequence % sectorCount) * UInt64(Self.sectorBytes))
  }

  /// The sequence numbers that the image holds, in order; sectors never written are skipped.
  public func sequences() throws(SystemError) -> [UInt64] {
    var found: [UInt64] = []
    for sector in 0..<sectorCount {
      let bytes = try descriptor.read(count: 32, at: sector * UInt64(Self.sectorBytes))
      var reader = ByteReader(bytes)
      guard let magic = try? reader.take(UInt64.self), magic == Self.magic,
        let sequence = try? reader.take(UInt64.self), (try? reader.take(UInt64.self)) != nil,
        let check = try? reader.take(UInt64.self), check == sequence ^ Self.magic
      else { continue }
      found.append(sequence)
    }
    return found.sorted()
  }
}
