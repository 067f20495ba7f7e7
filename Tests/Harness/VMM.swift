import LinuxOS

/// A VMM process and what it says.
public final class VMM: Sendable {
  public let process: TestProcess
  public let events: EventFile

  init(process: TestProcess, events: EventFile) {
    self.process = process
    self.events = events
  }

  public var pid: Int32 { process.pid }

  /// Its events so far.
  public func said() throws -> [VMMEvent] { try events.all().filter { $0.pid == pid } }

  /// Its last event of this name so far.
  public func last(_ event: String) throws -> VMMEvent? { try said().last { $0.event == event } }

  /// Waits for an event of this name, the one number `skipping` + 1.
  @discardableResult
  public func wait(for event: String, skipping: Int = 0, seconds: Double = 30) throws -> VMMEvent {
    do {
      return try Wait.until("event \(event) of \(process.name)", seconds: seconds) {
        let found = try said().filter { $0.event == event }
        if found.count > skipping { return found[skipping] }
        if let end = process.end {
          let late = try said().filter { $0.event == event }
          if late.count > skipping { return late[skipping] }
          throw HarnessFailure(
            "\(process.name) ended (\(end)) without the event \(event), after \(try said().suffix(4))")
        }
        return nil
      }
    } catch {
      throw HarnessFailure("\(error)\n\(process.logTail())")
    }
  }

  /// Asks the guest, through its VMM, how it is.
  public func report() throws -> VMMEvent {
    let before = try said().filter { $0.event == "report" }.count
    process.signal(10)
    return try wait(for: "report", skipping: before)
  }

  /// The guest's own verdict now.
  public func verdict() throws -> GuestVerdict {
    guard let verdict = try report().report else { throw HarnessFailure("a report without a verdict") }
    return verdict
  }

  /// Whether the guest's counter goes up in this process, watched for at most 10 s.
  public func isGuestRunning() throws -> Bool {
    let first = try verdict().counter
    return try Wait.holds(seconds: 10) { try verdict().counter > first }
  }
}
