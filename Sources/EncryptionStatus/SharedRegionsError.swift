/// Why a list of shared pages is not accepted.
public enum SharedRegionsError: Error, Hashable, Sendable, CustomStringConvertible {
  /// More ranges than ``SharedRegions/maximumCount``.
  case tooManyRanges
  /// Pages behind the last guest-physical address there can be.
  case beyondAddresses(end: UInt64)
  case truncated(Int)
  case wrongLength(Int, expected: Int)
  case emptyRange(index: Int)
  /// A range begins before the end of the one before it, or at it.
  case unordered(index: Int)
  case unknownVersion(UInt32)
  case unknownFlags(UInt32)
  /// The migration-control register has bits set that it does not have.
  case badControl(UInt64)

  public var description: String {
    switch self {
    case .tooManyRanges:
      "The guest's shared pages are in more than \(SharedRegions.maximumCount) ranges"
    case .beyondAddresses(let end):
      "Shared pages up to frame \(end) are beyond the last guest-physical address"
    case .truncated(let count): "The list of shared pages ends after \(count) bytes"
    case .wrongLength(let count, let expected):
      "The list of shared pages has \(count) bytes instead of \(expected)"
    case .emptyRange(let index): "Range \(index) of the shared pages is empty"
    case .unordered(let index):
      "Range \(index) of the shared pages does not begin behind the one before it"
    case .unknownVersion(let version):
      "The saved encryption status has version \(version), and only 1 is known"
    case .unknownFlags(let flags):
      "The saved encryption status has unknown flags 0x\(String(flags, radix: 16))"
    case .badControl(let value):
      "The saved migration-control register cannot be 0x\(String(value, radix: 16))"
    }
  }
}
