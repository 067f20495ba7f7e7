import GuestImage
import LinuxOS
import ReferenceVMM
import Synchronization

/// Someone who reads the guest's console from a pipe while the guest runs.
final class ConsoleReader: Sendable {
  let console: Console
  private let text = Mutex<[UInt8]>([])
  private let thread: Mutex<OSThread?>

  init() throws {
    let pipe = try Pipe()
    console = Console(try pipe.writeEnd.duplicate())
    let end = try pipe.readEnd.duplicate()
    _ = consume pipe
    thread = Mutex(nil)
    let reader = try OSThread(name: "console") { [weak self] in
      while let bytes = try? end.read(maximum: 4096), !bytes.isEmpty {
        guard let self else { return }
        self.text.withLock { $0 += bytes }
      }
    }
    thread.withLock { $0 = reader }
  }

  var output: [UInt8] { text.withLock { $0 } }

  /// How many lines were read, or nil when one is missing, doubled or broken. An unfinished last line
  /// is the guest's right.
  var gaplessLineCount: UInt64? {
    let output = output
    var next: UInt64 = 0
    var position = 0
    while output.count - position >= GuestABI.consoleLineBytes {
      let line = [UInt8](output[position..<position + GuestABI.consoleLineBytes])
      guard line == GuestABI.consoleLine(next) else { return nil }
      next += 1
      position += GuestABI.consoleLineBytes
    }
    let rest = [UInt8](output[position...])
    return rest == [UInt8](GuestABI.consoleLine(next).prefix(rest.count)) ? next : nil
  }

  /// Waits until so many lines are there; false when that took 10 s.
  func waitForLines(_ count: UInt64) -> Bool {
    let deadline = MonotonicClock.now() + 10_000_000_000
    while UInt64(output.count / GuestABI.consoleLineBytes) < count {
      if MonotonicClock.now() > deadline { return false }
      pause(milliseconds: 1)
    }
    return true
  }
}

/// Lets other threads run for a while.
func pause(milliseconds: UInt64) {
  FutexWord(0).wait(while: 0, timeoutNanoseconds: milliseconds * 1_000_000)
}

/// Waits until something holds; false when it did not within a minute.
func eventually(_ holds: () throws -> Bool) rethrows -> Bool {
  let deadline = MonotonicClock.now() + 60_000_000_000
  while try !holds() {
    if MonotonicClock.now() > deadline { return false }
    pause(milliseconds: 1)
  }
  return true
}

/// Guest RAM of a test.
func guestRAM(mebibytes: Int) throws -> SharedMapping {
  let memfd = try Memfd.create(name: "guest-ram", byteCount: UInt64(mebibytes) << 20)
  return try SharedMapping(memfd, byteCount: mebibytes << 20)
}
