/// Why a file is no store of UEFI variables, or a damaged one. Offsets are in bytes from the file's beginning.
public enum UEFIVariableStoreError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The file is shorter than the headers.
  case tooShort(Int, needed: Int)
  /// A disk image of QEMU's own format, with a store inside.
  case qcow2
  case noFirmwareVolume
  /// A firmware volume with something else than variables.
  case otherVolume(EFIGUID)
  case badVolumeHeaderLength(Int)
  /// The 16-bit words of the volume's header add up to this instead of 0.
  case badVolumeChecksum(UInt16)
  /// The volume's blocks have another size than the volume.
  case badBlockMap(UInt64, volume: UInt64)
  case volumeTooLong(UInt64, file: Int)
  case otherStore(EFIGUID)
  case badStoreSize(Int, available: Int)
  case notFormatted(UInt8)
  case notHealthy(UInt8)
  case recordTooLong(at: Int, needed: UInt64, available: Int)
  case badRecordStart(at: Int, UInt16)
  case badRecordState(at: Int, UInt8)
  case badName(at: Int)
  /// Two records of one variable are both valid.
  case twice(String)
  /// Something stands behind the last record.
  case freeSpaceWritten(at: Int)

  public var description: String { "The variable store is refused: \(sentence)" }

  private var sentence: String {
    switch self {
    case .tooShort(let count, let needed): "the file has \(count) bytes, and its headers need \(needed)"
    case .qcow2: "the file is a qcow2 image. Convert it: qemu-img convert -O raw"
    case .noFirmwareVolume: "the file does not begin with a firmware volume"
    case .otherVolume(let id): "the firmware volume is of type \(id) and has no variables"
    case .badVolumeHeaderLength(let count): "the volume's header cannot have \(count) bytes"
    case .badVolumeChecksum(let sum):
      "the checksum of the volume's header is wrong (0x\(String(sum, radix: 16)))"
    case .badBlockMap(let blocks, let volume):
      "the volume's blocks have \(blocks) bytes, and the volume has \(volume)"
    case .volumeTooLong(let count, let file): "the volume has \(count) bytes, and the file \(file)"
    case .otherStore(let id): "it is of type \(id) and not one of authenticated variables"
    case .badStoreSize(let count, let available):
      "it cannot have \(count) bytes where \(available) are there"
    case .notFormatted(let value): "it is not formatted (0x\(String(value, radix: 16)))"
    case .notHealthy(let value): "it is not healthy (0x\(String(value, radix: 16)))"
    case .recordTooLong(let offset, let needed, let available):
      "the record at \(offset) needs \(needed) bytes, and \(available) are there"
    case .badRecordStart(let offset, let value):
      "the record at \(offset) begins with 0x\(String(value, radix: 16))"
    case .badRecordState(let offset, let value):
      "the record at \(offset) cannot be in state 0x\(String(value, radix: 16))"
    case .badName(let offset): "the record at \(offset) has no name that ends"
    case .twice(let name): "the variable \(name) is there twice"
    case .freeSpaceWritten(let offset): "something is written in the free space at \(offset)"
    }
  }
}
