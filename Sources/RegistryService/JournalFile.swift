import BatonCore
import BatonWire
import Glibc
import LinuxOS

/// The journal's file, mapped. It lives in RAM (`/run`), as its guests do; an entry is durable against the
/// end of this process as soon as the committed word is stored.
final class JournalFile {
  private(set) var path: String
  private var storage: Storage
  private(set) var committed: Int
  private var live: Int
  private var sizes: [GuestName: Int]
  private(set) var compactions: UInt64 = 0

  /// Smallest file, and the room that is made ahead of need.
  private static let minimumCapacity = 1 << 18
  private static let headroom = 1 << 16

  /// The open file and where it is mapped.
  private struct Storage: ~Copyable {
    let file: OwnedDescriptor
    let mapping: SharedMapping
  }

  private var mapping: SharedMapping { storage.mapping }

  /// Why there is no journal to work with.
  enum Failure: Error {
    case damaged(path: String, JournalError)
    case system(SystemError)
  }

  /// Reads a journal, or nil when there is none.
  static func open(_ path: String) throws(Failure) -> (JournalFile, Journal.Contents)? {
    do {
      guard let file = try openIfThere(path) else { return nil }
      let bytes = try file.read(count: Int(try file.identity().byteCount), at: 0)
      // Checked before the file is touched: a damaged one is left as it was found.
      let contents = try Journal.replay(bytes)
      let capacity = max(bytes.count, minimumCapacity)
      try file.allocate(capacity)
      let mapping = try SharedMapping(file, byteCount: capacity)
      let journal = JournalFile(
        path: path, storage: Storage(file: file, mapping: mapping), committed: contents.committedByteCount,
        records: contents.records)
      return (journal, contents)
    } catch let error as JournalError {
      throw .damaged(path: path, error)
    } catch let error as SystemError {
      throw .system(error)
    } catch {
      preconditionFailure("reading the journal throws nothing else: \(error)")
    }
  }

  private static func openIfThere(_ path: String) throws(SystemError) -> OwnedDescriptor? {
    do throws(SystemError) { return try Files.open(path, .readWrite) } catch {
      if error.code == ENOENT { return nil }
      throw error
    }
  }

  /// Writes a new journal in one step, replacing what was there.
  static func create(_ path: String, _ records: [GuestRecord]) throws(SystemError) -> JournalFile {
    let image = Journal.image(records)
    let capacity = max(minimumCapacity, (image.count + headroom) * 2)
    return JournalFile(
      path: path, storage: try write(image, capacity: capacity, to: path), committed: image.count,
      records: records)
  }

  private static func write(
    _ image: [UInt8], capacity: Int, to path: String
  ) throws(SystemError) -> Storage {
    let temporary = "\(path).new"
    try Files.remove(temporary)
    let file = try Files.open(temporary, .createNew)
    try file.allocate(capacity)
    let mapping = try SharedMapping(file, byteCount: capacity)
    mapping.write(image, at: 0)
    try Files.rename(temporary, to: path)
    return Storage(file: file, mapping: mapping)
  }

  private init(
    path: String, storage: consuming Storage, committed: Int, records: [GuestRecord]
  ) {
    self.path = path
    self.storage = storage
    self.committed = committed
    sizes = [:]
    live = Journal.headerByteCount
    for record in records {
      let size = Journal.entry(record).count
      sizes[record.name] = size
      live += size
    }
  }

  /// Appends an entry; it counts when this returns.
  ///
  /// - Complexity: A copy and one store; a system call only when the file is full, which ``maintain`` prevents.
  func append(_ record: GuestRecord) throws(SystemError) {
    let entry = Journal.entry(record)
    if committed + entry.count > mapping.byteCount { try grow(by: entry.count) }
    mapping.write(entry, at: committed)
    committed += entry.count
    mapping.store64(Journal.committedWord(committed), at: Journal.committedOffset)
    live += entry.count - (sizes.updateValue(entry.count, forKey: record.name) ?? 0)
  }

  /// Whether ``maintain(_:)`` has something to do.
  var needsMaintenance: Bool {
    (committed > Self.headroom && live * 2 < committed) || mapping.byteCount - committed < Self.headroom / 2
  }

  /// Size of the file, in bytes.
  var capacity: Int { mapping.byteCount }

  /// Whether the next entries may not fit.
  var mustGrow: Bool { mapping.byteCount - committed < Self.headroom / 8 }

  /// A guest is remembered no longer: its entries are garbage now.
  func forget(_ name: GuestName) {
    if let size = sizes.removeValue(forKey: name) { live -= size }
  }

  /// Compacts when more than half is garbage, and makes room ahead of need. Not for the middle of a handoff.
  ///
  /// - Parameters:
  ///   - records: Of all guests that are remembered.
  ///   - forgotten: The numbers of those that are not.
  func maintain(_ records: [GuestRecord], forgotten: ForgottenNumbers) throws(SystemError) {
    if committed > Self.headroom, live * 2 < committed {
      let image = Journal.image(records, forgotten: forgotten)
      storage = try Self.write(
        image, capacity: max(Self.minimumCapacity, (image.count + Self.headroom) * 2), to: path)
      committed = image.count
      live = image.count
      compactions += 1
    } else if mapping.byteCount - committed < Self.headroom / 2 {
      try grow(by: Self.headroom)
    }
  }

  /// Gives the journal its final name, once it may be believed.
  func rename(to path: String) throws(SystemError) {
    try Files.rename(self.path, to: path)
    self.path = path
  }

  private func grow(by needed: Int) throws(SystemError) {
    let capacity = max(mapping.byteCount * 2, mapping.byteCount + needed)
    guard capacity <= Journal.maximumByteCount else {
      throw SystemError(.ftruncate, code: EFBIG, subject: path)
    }
    let file = try storage.file.duplicate()
    try file.allocate(capacity)
    let mapping = try SharedMapping(file, byteCount: capacity)
    storage = Storage(file: file, mapping: mapping)
  }
}
