import LinuxOS
import Synchronization

/// Reads a guest's console from a pipe, as somebody other than a VMM, and checks every line.
///
/// Line n is `guest ` and n in twelve digits. The pipe has one write end, which travels with the guest.
public final class ConsoleReader: Sendable {
  private struct Reading {
    var partial: [UInt8] = []
    var lines: UInt64 = 0
    var fault: String?
    var ended = false
  }

  private let reading = Mutex(Reading())
  private let writeEnd = Mutex<Int32?>(nil)

  public init() throws {
    let pipe = try Pipe()
    let end = try pipe.readEnd.duplicate()
    let number = try pipe.writeEnd.duplicate().release()
    _ = consume pipe
    writeEnd.withLock { $0 = number }
    _ = try OSThread(name: "console") { [weak self] in
      while let bytes = try? end.read(maximum: 65_536), !bytes.isEmpty {
        guard let self else { return }
        self.take(bytes)
      }
      self?.reading.withLock { $0.ended = true }
    }
  }

  deinit { closeWriteEnd() }

  /// The borrowed write end for the first VMM.
  public var number: Int32 { writeEnd.withLock { $0 } ?? -1 }

  /// Closes this process's write end, so that the pipe ends with the guest.
  public func closeWriteEnd() {
    writeEnd.withLock { number in
      if let open = number { _ = OwnedDescriptor(adopting: open) }
      number = nil
    }
  }

  /// How many whole lines came, without a gap as long as ``fault`` is nil.
  public var lines: UInt64 { reading.withLock { $0.lines } }
  /// The first line that is missing, doubled or broken.
  public var fault: String? { reading.withLock { $0.fault } }
  /// Whether all write ends are closed.
  public var hasEnded: Bool { reading.withLock { $0.ended } }

  /// Waits until more lines came; false when that took too long.
  public func advances(by count: UInt64 = 3, seconds: Double = 20) -> Bool {
    let goal = lines + count
    return Wait.holds(seconds: seconds) { lines >= goal }
  }

  private func take(_ bytes: [UInt8]) {
    reading.withLock { reading in
      reading.partial += bytes
      while let end = reading.partial.firstIndex(of: UInt8(ascii: "\n")) {
        let line = String(decoding: reading.partial[..<end], as: UTF8.self)
        reading.partial.removeSubrange(...end)
        let digits = String(reading.lines)
        let expected = "guest " + String(repeating: "0", count: max(0, 12 - digits.count)) + digits
        if line != expected, reading.fault == nil {
          reading.fault = "line \(reading.lines) is '\(line)', expected '\(expected)'"
        }
        reading.lines += 1
      }
    }
  }
}
