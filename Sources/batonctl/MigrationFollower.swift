import Glibc
import LinuxOS
import RegistryInterface

/// Makes calls of `Migrate` and follows each to its end, with SIGINT and SIGTERM as the wish to cancel.
final class MigrationFollower {
  let guest: String
  let host: RemoteHost
  let signals: SignalDescriptor
  private let printer: Printer
  private let socketPath: String
  private let timeoutNanoseconds: UInt64?
  private var display: MigrationDisplay
  private var interruptions = 0

  init(
    guest: String, host: RemoteHost, socketPath: String, timeoutNanoseconds: UInt64?, printer: Printer
  ) throws(CommandFailure) {
    self.guest = guest
    self.host = host
    self.printer = printer
    self.socketPath = socketPath
    self.timeoutNanoseconds = timeoutNanoseconds
    display = MigrationDisplay(guest: guest, host: host.description, printer: printer)
    do throws(SystemError) {
      signals = try SignalDescriptor([SIGINT, SIGTERM])
    } catch {
      throw CommandFailure("nothing was tried", cause: "\(error)", status: .failure)
    }
  }

  /// Makes the call and follows it.
  ///
  /// - Returns: The registry's last word.
  func follow(_ wish: MigrationWish) throws(CommandFailure) -> (Migration, Guest) {
    defer { display.clear() }
    let feed = try MigrationFeed(
      guest, wish, socketPath: socketPath, timeoutNanoseconds: timeoutNanoseconds)
    while true {
      for news in try feed.step() {
        switch news {
        case .note(let text): display.note("\(guest): \(text)")
        case .finished(let migration, let guest): return (migration, guest)
        case .step(let migration, _): show(migration)
        }
      }
      try wait(feed)
    }
  }

  /// Waits for a moment.
  ///
  /// - Returns: False when it was interrupted.
  func pause(_ nanoseconds: UInt64) -> Bool {
    var interests = [Poller.Interest(signals.descriptor.number)]
    _ = try? Poller.wait(&interests, timeoutNanoseconds: nanoseconds)
    return signals.next() == nil
  }

  private func show(_ migration: Migration) {
    guard printer.json else {
      display.show(migration)
      return
    }
    printer.write(
      json: MigrationLine(type: .progress, guest: guest, host: host.description, migration: migration))
  }

  private func wait(_ feed: MigrationFeed) throws(CommandFailure) {
    var interests = [Poller.Interest(signals.descriptor.number)] + feed.interests
    let now = MonotonicClock.now()
    let wake = feed.wakeTime
    do throws(SystemError) {
      _ = try Poller.wait(&interests, timeoutNanoseconds: wake == .max ? nil : (wake > now ? wake - now : 0))
    } catch {
      throw feed.notFollowed("\(error)")
    }
    guard signals.next() != nil else { return }
    interruptions += 1
    if interruptions > 1 { throw feed.notFollowed("it was interrupted twice") }
    display.note("\(guest): \(feed.cancel())")
  }
}
