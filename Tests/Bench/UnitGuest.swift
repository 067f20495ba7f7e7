import Harness
import LinuxOS

/// A guest in the installed units of its two slots.
final class UnitGuest {
  /// A restart in place: the blackout, and where it was spent.
  struct Restart {
    let blackout: UInt64
    /// Nanoseconds, in the order of ``partNames``.
    let parts: [UInt64]
  }

  /// Until systemd has seen the old process end; until the new one is up; until it has RAM and VM; until the
  /// guest runs.
  static let partNames = ["stop", "start", "map", "claim"]

  private let name: String
  private let systemctl: Systemctl
  private let settings: String
  private let pageCount: UInt64
  private var events: EventReader
  private var slot = Slot.a
  private var owner: Int32

  private enum Slot: String {
    case a, b

    var other: Slot { self == .a ? .b : .a }
  }

  /// Writes the settings, starts slot a and waits until the guest runs.
  init(_ name: String, ramMebibytes: Int, _ workspace: Workspace) throws {
    self.name = name
    pageCount = UInt64(ramMebibytes) << 8
    systemctl = Systemctl(workspace: workspace)
    settings = "/etc/baton/guests/\(name).conf"
    events = try EventReader("/var/lib/baton/guests/\(name).events")
    // Another user writes it.
    try Files.changeMode(of: events.path, to: 0o666)
    try Files.remove(settings)
    try Files.open(settings, .createNew).write(
      Array(
        """
        BATON_MEMORY=\(ramMebibytes)M
        BATON_VCPUS=2
        BATON_VCPU=software
        BATON_SEV=model
        BATON_HANDOFF=token
        BATON_EVENTS=\(events.path)

        """.utf8), at: 0)
    try systemctl.run("start", Self.unit(name, .a))
    owner = try events.first(within: 10) { $0.event == "running" }.pid
  }

  private static func unit(_ name: String, _ slot: Slot) -> String {
    "baton-vmm-\(slot.rawValue)@\(name).service"
  }

  /// Starts the other slot, which is the upgrade.
  ///
  /// - Returns: The blackout by the guest's own stamps, nanoseconds.
  func startOtherSlot() throws -> UInt64 {
    Wait.pause(milliseconds: 20)
    try events.forget()
    let source = owner
    let process = try Pidfd(pid: source)
    try systemctl.run("start", Self.unit(name, slot.other))
    slot = slot.other
    let (stopped, running) = try handoff()
    // Its unit has to be free for the next one.
    guard try Poller.waitReadable(process.descriptor.number, timeoutNanoseconds: 10_000_000_000) else {
      throw BenchError("guest \(name): process \(source) did not end")
    }
    return running - stopped
  }

  /// Restarts the slot, with the guest in the registry's custody meanwhile.
  func restart() throws -> Restart {
    try fillMemory()
    try events.forget()
    let unit = Self.unit(name, slot)
    try systemctl.run("restart", unit)
    let (stopped, running) = try handoff()
    let moments = [
      stopped, try systemctl.timestamp("InactiveEnterTimestampMonotonic", of: unit),
      try event("started", of: owner).at, try event("ready", of: owner).at, running,
    ]
    guard moments == moments.sorted() else {
      throw BenchError("guest \(name): the moments of a restart are not in order: \(moments)")
    }
    return Restart(
      blackout: running - stopped, parts: zip(moments, moments.dropFirst()).map { $1 - $0 })
  }

  /// Lets the guest write every page, so that the process has as much memory mapped as after a long life: taking it
  /// out of the page tables costs time.
  private func fillMemory() throws {
    let goal = try pagesWritten() + pageCount
    let deadline = MonotonicClock.now() + 300_000_000_000
    while try pagesWritten() < goal {
      guard MonotonicClock.now() < deadline else {
        throw BenchError("guest \(name) did not write its memory within 300 s")
      }
      Wait.pause(milliseconds: 100)
    }
  }

  private func pagesWritten() throws -> UInt64 {
    try events.forget()
    // SIGUSR1.
    try Pidfd(pid: owner).signal(10)
    return try event("report", of: owner).report?.pagesWritten ?? 0
  }

  /// The guest's own stamps of the handoff that just ended; the new owner is noted.
  private func handoff() throws -> (stopped: UInt64, running: UInt64) {
    let source = owner
    let running = try events.first(within: 10) {
      $0.event == "running" && $0.pid != source
    }
    owner = running.pid
    let staged = try event("staged", of: source)
    guard let last = staged.lastInstruction, let first = running.firstInstruction, first > last else {
      throw BenchError("guest \(name): the stamps of a handoff make no sense")
    }
    return (last, first)
  }

  private func event(_ event: String, of pid: Int32) throws -> EventLine {
    do {
      return try events.first(within: 10) { $0.event == event && $0.pid == pid }
    } catch {
      throw BenchError("guest \(name): process \(pid) did not say \(event)")
    }
  }

  /// Ends the guest.
  func end() throws {
    try systemctl.run("stop", Self.unit(name, slot))
    try Files.remove(settings)
    try Files.remove(events.path)
  }
}
