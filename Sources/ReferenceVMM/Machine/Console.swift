public import LinuxOS
import Synchronization

/// The console's end in the VMM: what the guest says goes to a descriptor, in order, once.
///
/// Whole lines are passed on. A line that is not complete, or that the reader has no room for yet, stays
/// here and travels to the successor with the saved state; the latter holds the guest back. The process must ignore `SIGPIPE`; when the reader is gone
/// the console is broken, and output waits for a successor with another reader.
public final class Console: Sendable {
  /// A guest whose output waits says nothing new, so no more than a line or two ever does.
  static let maximumPendingBytes = 4096

  private struct Output {
    var pending: [UInt8] = []
    var lineCount: UInt64 = 0
    var failure: SystemError?

    init() { pending.reserveCapacity(Console.maximumPendingBytes) }
  }

  private let descriptor: OwnedDescriptor?
  private let output = Mutex(Output())

  /// Writes to `descriptor` (a pipe, a file, a terminal) and owns it.
  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = .some(consume descriptor) }

  /// Takes everything and shows it to nobody.
  public init() { descriptor = nil }

  /// Why writing failed for good, or nil.
  public var failure: SystemError? { output.withLock { $0.failure } }

  /// Lines that the guest has said, over all its machines.
  public var lineCount: UInt64 { output.withLock { $0.lineCount } }

  /// A second descriptor of the same open file, to be handed over; nil when there is none.
  public func duplicateDescriptor() throws(SystemError) -> OwnedDescriptor? {
    switch descriptor {
    case .some(let descriptor): try descriptor.duplicate()
    case .none: nil
    }
  }

  /// Takes output of the guest and passes on what the reader has room for.
  ///
  /// - Returns: Whether no complete line waits any more.
  func put(_ bytes: [UInt8]) -> Bool {
    output.withLock {
      $0.pending.append(contentsOf: bytes)
      for byte in bytes where byte == Self.lineFeed { $0.lineCount += 1 }
      return flush(&$0, partialLines: false)
    }
  }

  /// Passes on what waits; whether no complete line waits any more.
  ///
  /// - Parameter partialLines: Whether the begin of a line is passed on too.
  func flush(partialLines: Bool = false) -> Bool {
    output.withLock { flush(&$0, partialLines: partialLines) }
  }

  private static let lineFeed: UInt8 = 0x0A

  /// Line count and waiting output, for saving.
  func snapshot() -> (lineCount: UInt64, pending: [UInt8]) {
    output.withLock { ($0.lineCount, $0.pending) }
  }

  /// Goes on where the source's console stopped. Nothing is written before the guest runs.
  func restore(lineCount: UInt64, pending: [UInt8]) {
    output.withLock {
      $0.lineCount = lineCount
      $0.pending = pending
    }
  }

  private func flush(_ output: inout Output, partialLines: Bool) -> Bool {
    var ready =
      partialLines
      ? output.pending.count
      : (output.pending.lastIndex(of: Self.lineFeed) ?? -1) + 1
    while ready > 0 {
      switch descriptor {
      case .none:
        output.pending.removeFirst(ready)
        ready = 0
      case .some(let descriptor):
        guard output.failure == nil else { return false }
        do throws(SystemError) {
          // A pipe that is writable has room for PIPE_BUF (4096) bytes, so the write cannot block;
          // O_NONBLOCK would change the reader's end of a shared terminal too.
          var interest = [Poller.Interest(descriptor.number, readable: false, writable: true)]
          guard try Poller.wait(&interest, timeoutNanoseconds: 0) > 0 else { return false }
          let count = try descriptor.write([UInt8](output.pending.prefix(ready)))
          output.pending.removeFirst(count)
          ready -= count
        } catch {
          if error.wouldBlock { return false }
          output.failure = error
          return false
        }
      }
    }
    return true
  }
}
