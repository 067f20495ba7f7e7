import CSystemd
import LinuxOS

/// Descriptors that the service manager keeps for the next instance of this service.
///
/// That the manager was told is no proof that it keeps something: what is too much it closes without a word. So
/// every upload is followed by a barrier, which says that the manager has read everything, and by a look at
/// how many it holds. Uploads and removals are taken one behind the other.
///
/// Lives on the loop's thread. See `FileDescriptorStoreMax=` in systemd.service(5), `FDSTORE=1` in sd_notify(3).
public final class DescriptorStore {
  /// A descriptor and the name under which it comes back.
  public struct Item: Sendable {
    /// At most 255 characters without `:` and control characters; no secret, everybody may read it.
    public let name: String
    /// Borrowed; must stay open until the upload is completed.
    public let number: Int32

    public init(name: String, number: Int32) {
      self.name = name
      self.number = number
    }
  }

  /// Why an upload did not succeed. Nothing of it is left in the store.
  public enum Failure: Error, Sendable, CustomStringConvertible {
    /// There is not enough room.
    case full(needed: Int, free: Int, capacity: Int)
    /// The manager holds another number than it should.
    case notKept(expected: Int, found: Int)
    /// Something is there under this name.
    case taken(String)
    /// The manager cannot be asked.
    case unanswered(String)

    public var description: String {
      switch self {
      case .full(let needed, let free, let capacity):
        "the service manager's descriptor store has room for \(free) of \(capacity) descriptors and \(needed) are "
          + "needed; wait for other handoffs, or raise FileDescriptorStoreMax= of the unit"
      case .notKept(let expected, let found):
        "the service manager's descriptor store holds \(found) descriptors where \(expected) were to be; it is "
          + "full, or the same open file was given under two names"
      case .taken(let name): "the service manager's descriptor store has something named \(name) already"
      case .unanswered(let why): "what the service manager keeps cannot be checked: \(why)"
      }
    }
  }

  /// Why there is no store.
  public struct Unavailable: Error, CustomStringConvertible {
    public let description: String
  }

  private enum Operation {
    case put([Item], (Failure?) -> Void)
    case remove([String])
  }

  /// How many descriptors fit (`FileDescriptorStoreMax=`).
  public let capacity: Int
  /// What the manager holds under which names, or is about to.
  public private(set) var names: Set<String>
  /// Asked before each upload what is to be taken out first. The manager keeps an open file once: under its old
  /// name, as long as that is there.
  public var outdated: (() -> [String])?

  private let loop: EventLoop
  private let bus: ManagerBus
  private var queue: [Operation] = []
  private var isBusy = false
  private var barrier: Barrier?

  /// How long the manager may take to read what it was sent, in nanoseconds.
  private static let limit: UInt64 = 5_000_000_000

  /// A pipe whose other end the manager closes when it has read everything before.
  private final class Barrier {
    let readEnd: OwnedDescriptor
    var source: EventSource?
    var timer: LoopTimer?

    init(_ readEnd: consuming OwnedDescriptor) { self.readEnd = readEnd }
  }

  /// Finds the store of this process's unit. Asks the manager and waits for its answers.
  ///
  /// - Parameter names: What came from the store when this process was started, and is still there.
  public init(loop: EventLoop, holding names: Set<String>) throws(Unavailable) {
    guard ServiceManager.isListening else { throw Unavailable(description: "there is no service manager") }
    // The system bus knows nothing of the units of a user's own manager.
    guard ThisProcess.environment("MANAGERPID") == nil else {
      throw Unavailable(description: "this is not a service of the system's manager")
    }
    self.loop = loop
    self.names = names
    do throws(ManagerBus.Failure) {
      bus = try ManagerBus(loop: loop)
      capacity = Int(try bus.readNow("FileDescriptorStoreMax"))
    } catch {
      throw Unavailable(description: error.sentence)
    }
    guard capacity > 0 else { throw Unavailable(description: "the unit has FileDescriptorStoreMax=0") }
  }

  /// How many more descriptors fit, those that wait to be uploaded not counted.
  public var free: Int { max(0, capacity - names.count) }

  /// Puts all of `items` into the store, or none.
  ///
  /// - Parameter completion: Called on the loop's thread, maybe before this returns; nil when the manager was
  ///   seen to hold them.
  /// - Complexity: Two messages more than items; the manager compares each with all that it has.
  public func put(_ items: [Item], completion: @escaping (Failure?) -> Void) {
    queue.append(.put(items, completion))
    work()
  }

  /// Takes everything of these names out; names that are not there are passed over. What waits to be uploaded is
  /// not meant: it goes there afterwards, maybe under the same names.
  public func remove(_ names: [String]) {
    queue.insert(.remove(names), at: 0)
    work()
  }

  /// Takes something out without knowing the store, as at start.
  public static func remove(name: String) {
    // What was taken out twice, or cannot be said to anybody, changes nothing.
    _ = try? ServiceManager.notify("FDSTOREREMOVE=1\nFDNAME=\(name)", descriptors: [])
  }

  // MARK: Work

  private func work() {
    while !isBusy, !queue.isEmpty {
      switch queue.removeFirst() {
      case .remove(let names): takeOut(names)
      case .put(let items, let completion): upload(items, completion)
      }
    }
  }

  private func takeOut(_ list: [String]) {
    for name in list where names.remove(name) != nil { Self.remove(name: name) }
  }

  private func upload(_ items: [Item], _ completion: @escaping (Failure?) -> Void) {
    takeOut(outdated?() ?? [])
    guard items.count <= free else {
      completion(.full(needed: items.count, free: free, capacity: capacity))
      return
    }
    if let item = items.first(where: { names.contains($0.name) }) {
      completion(.taken(item.name))
      return
    }
    isBusy = true
    do throws(SystemError) {
      for item in items {
        // Without a poll: an entry whose peer has gone is still what was given.
        try ServiceManager.notify("FDSTORE=1\nFDPOLL=0\nFDNAME=\(item.name)", descriptors: [item.number])
        names.insert(item.name)
      }
      try sendBarrier { [unowned self] isPassed in
        guard isPassed else {
          finish(items, .unanswered("it does not read its notifications"), completion)
          return
        }
        compare(items, completion)
      }
    } catch {
      finish(items, .unanswered("\(error)"), completion)
    }
  }

  private func sendBarrier(_ passed: @escaping (Bool) -> Void) throws(SystemError) {
    let pipe = try Pipe()
    try ServiceManager.notify("BARRIER=1", descriptors: [pipe.writeEnd.number])
    let barrier = Barrier(pipe.closingWriteEnd())
    barrier.source = try loop.watch(barrier.readEnd.number, for: .hangUp, priority: .timers) {
      [unowned self] _ in endBarrier(passed, true)
    }
    barrier.timer = loop.schedule(after: Self.limit) { [unowned self] in endBarrier(passed, false) }
    self.barrier = barrier
  }

  private func endBarrier(_ passed: (Bool) -> Void, _ isPassed: Bool) {
    guard let barrier else { return }
    barrier.timer?.cancel()
    barrier.source = nil
    self.barrier = nil
    passed(isPassed)
  }

  private func compare(_ items: [Item], _ completion: @escaping (Failure?) -> Void) {
    bus.read("NFileDescriptorStore") { [unowned self] answer in
      switch answer {
      case .failure(let failure): finish(items, .unanswered(failure.sentence), completion)
      case .success(let found) where Int(found) != names.count:
        finish(items, .notKept(expected: names.count, found: Int(found)), completion)
      case .success: finish(items, nil, completion)
      }
    }
  }

  private func finish(_ items: [Item], _ failure: Failure?, _ completion: (Failure?) -> Void) {
    if failure != nil { takeOut(items.map(\.name)) }
    isBusy = false
    completion(failure)
    work()
  }
}
