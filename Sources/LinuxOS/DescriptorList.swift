import CLinux

/// Descriptors in a fixed order that this value alone may close.
///
/// The order is that of the record they came with. Taking one out leaves the others in place.
public struct DescriptorList: ~Copyable, Sendable {
  private var numbers: [Int32]

  /// An empty list.
  public init() { numbers = [] }

  init(adopting numbers: [Int32]) { self.numbers = numbers }

  /// Second descriptors of the open files behind borrowed numbers.
  ///
  /// - Throws: `EBADF` for a number that is not open, `EMFILE` when the process may not open more.
  public init(duplicating borrowed: [Int32]) throws(SystemError) {
    numbers = []
    for number in borrowed {
      numbers.append(Int32(try checked(.dup) { Int(clinux_duplicate(number, 3)) }))
    }
  }

  deinit { for number in numbers { _ = clinux_close(number) } }

  /// How many descriptors are in the list.
  public var count: Int { numbers.count }
  public var isEmpty: Bool { numbers.isEmpty }
  /// The numbers, for sending; they stay owned by the list.
  public var borrowedNumbers: [Int32] { numbers }

  /// Adds one descriptor at the end and owns it from now on.
  public mutating func append(_ descriptor: consuming OwnedDescriptor) {
    numbers.append(descriptor.release())
  }

  /// Adds all of another list's descriptors at the end.
  public mutating func append(contentsOf other: consuming DescriptorList) {
    numbers.append(contentsOf: other.numbers)
    // The other list must not close what is owned here now.
    other.numbers = []
  }

  /// Takes the first descriptor out, or nil when the list is empty.
  public mutating func popFirst() -> OwnedDescriptor? {
    guard !numbers.isEmpty else { return nil }
    return OwnedDescriptor(adopting: numbers.removeFirst())
  }

  /// Takes the first `count` descriptors out as a list of their own.
  public mutating func removeFirst(_ count: Int) -> DescriptorList {
    let head = Array(numbers.prefix(count))
    numbers.removeFirst(head.count)
    return DescriptorList(adopting: head)
  }

  /// A list of second descriptors of the same open files.
  public func duplicate() throws(SystemError) -> DescriptorList {
    try DescriptorList(duplicating: numbers)
  }

  /// The identity of the descriptor at `index`.
  public func identity(at index: Int) throws(SystemError) -> FileIdentity {
    try FileIdentity(ofBorrowed: numbers[index])
  }

  /// The seals of the memfd at `index`.
  public func seals(at index: Int) throws(SystemError) -> Seals {
    let number = numbers[index]
    return Seals(rawValue: Int32(try checked(.fcntl) { Int(clinux_get_seals(number)) }))
  }
}
