import CLinux

/// An unnamed pipe, as in pipe(2).
public struct Pipe: ~Copyable {
  /// The end that reads.
  public var readEnd: OwnedDescriptor
  /// The end that writes.
  public var writeEnd: OwnedDescriptor

  /// Makes a pipe, both ends close-on-exec.
  public init() throws(SystemError) {
    var numbers: [Int32] = [-1, -1]
    _ = try checked(.pipe) {
      unsafe numbers.withUnsafeMutableBufferPointer { unsafe Int(clinux_pipe($0.baseAddress)) }
    }
    readEnd = OwnedDescriptor(adopting: numbers[0])
    writeEnd = OwnedDescriptor(adopting: numbers[1])
  }

  /// Closes the end that writes and keeps the other one.
  public consuming func closingWriteEnd() -> OwnedDescriptor { readEnd }
}
