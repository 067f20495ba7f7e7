import CSystemd
import Glibc
public import LinuxOS

/// A client of the service manager over the system bus: units, their jobs and their properties.
///
/// Blocking: each call waits for its answer, no longer than the limit given to ``init(limit:)``. For one thread at
/// a time. Whoever follows jobs waits for ``interest`` and calls ``takeEndedJobs()``. A connection that broke stays
/// broken: make a new one.
///
/// See org.freedesktop.systemd1(5), sd-bus(3).
///
/// SAFETY: the bus is reached only through this value, which is not Sendable; its slot ends before it does.
@safe public final class SystemBus {
  /// Why there is no answer, or the answer is no.
  public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds that a caller may want to treat differently.
    public enum Kind: Hashable, Sendable {
      /// There is no system bus.
      case noBus
      /// There is a bus, but no service manager behind it now; it may be executing itself anew
      /// (`systemctl daemon-reexec`), and be back in a moment.
      case managerAway
      /// The bus went away, or the manager did not answer in time.
      case disconnected
      /// The manager wants somebody else, or a person's consent (polkit).
      case notAllowed
      /// There is no unit of this name.
      case noSuchUnit
      /// The unit cannot be started: masked, or its file is wrong.
      case unitUnusable
      /// Everything else.
      case refused
    }

    /// What kind it is.
    public let kind: Kind
    /// One clause for people.
    public let sentence: String

    public init(kind: Kind, sentence: String) {
      self.kind = kind
      self.sentence = sentence
    }

    public var description: String { sentence }
  }

  private var bus: OpaquePointer?
  private var slot: OpaquePointer?
  private let limit: UInt64
  private var ended: [UInt32: UnitJob.End] = [:]

  private static let manager = "org.freedesktop.systemd1"
  private static let managerPath = "/org/freedesktop/systemd1"
  private static let managerInterface = "org.freedesktop.systemd1.Manager"

  /// Connects to the system bus; any user may.
  ///
  /// - Parameter limit: How long each answer may take, in nanoseconds.
  /// - Throws: ``Failure/Kind/noBus`` when nobody answers there.
  public init(limit: UInt64 = 10_000_000_000) throws(Failure) {
    self.limit = max(1, limit / 1000)
    let opened = unsafe sd_bus_open_system(&bus)
    guard opened >= 0 else {
      throw Failure(kind: .noBus, sentence: "the system bus cannot be reached: \(Self.reason(opened))")
    }
    // A program that follows a handoff outlives the bus.
    _ = unsafe sd_bus_set_exit_on_disconnect(bus, 0)
  }

  deinit {
    _ = unsafe sd_bus_slot_unref(slot)
    if let bus = unsafe bus { _ = unsafe sd_bus_close_unref(bus) }
  }

  // MARK: Jobs

  /// Queues the start of a unit; a job that is in the way is replaced, one that starts it already is joined.
  ///
  /// The answer comes as soon as it is queued, not when it is done. Who may is decided by polkit; without it
  /// only root.
  public func start(_ unit: String) throws(Failure) -> UnitJob {
    try listen()
    let message = try call("StartUnit", [unit, "replace"])
    let path = try message.readString(BusCode.objectPath)
    guard let number = UInt32(path.split(separator: "/").last ?? "") else {
      throw Failure(kind: .refused, sentence: "the service manager names its job \(path)")
    }
    return UnitJob(id: number, unit: unit)
  }

  /// Whether the manager still has this job.
  public func isQueued(_ job: UnitJob) throws(Failure) -> Bool {
    try pendingJob(of: job.unit)?.job.id == job.id
  }

  /// The job that waits or runs for a unit.
  ///
  /// In a process that gets SIGTERM because its unit is restarted the kind is ``UnitJob/Kind/restart``.
  ///
  /// - Returns: `nil` if there is none.
  public func pendingJob(of unit: String) throws(Failure) -> (job: UnitJob, kind: UnitJob.Kind)? {
    let reply = try property(
      "Job", "(uo)", path: try Self.path(of: unit), interface: "org.freedesktop.systemd1.Unit")
    try reply.enter(BusCode.structure, "uo")
    let id = try reply.readUInt32()
    guard id != 0 else { return nil }
    do throws(Failure) {
      let kind = try property(
        "JobType", "s", path: "\(Self.managerPath)/job/\(id)", interface: "org.freedesktop.systemd1.Job")
      return (UnitJob(id: id, unit: unit), UnitJob.Kind(try kind.readString(BusCode.string)))
    } catch {
      // It ended between the two questions.
      if error.kind == .noSuchUnit { return nil }
      throw error
    }
  }

  // MARK: Waiting beside other things

  /// What to poll for while jobs are followed.
  public var interest: Poller.Interest {
    let events = unsafe sd_bus_get_events(bus)
    return Poller.Interest(
      unsafe sd_bus_get_fd(bus), readable: true, writable: events >= 0 && events & POLLOUT != 0)
  }

  /// The jobs that ended since the last call, by ``UnitJob/id``; does not wait. Only jobs that ended after
  /// this connection's first ``start(_:)`` are seen; other people's jobs are among them.
  public func takeEndedJobs() throws(Failure) -> [UInt32: UnitJob.End] {
    try exchange()
    defer { ended = [:] }
    return ended
  }

  // MARK: Units

  /// What the manager says about a unit, as text; loads the unit if it is not loaded.
  public func read(_ property: UnitProperty, of unit: String) throws(Failure) -> String {
    let path = try Self.path(of: unit)
    let interface = "\(Self.manager).\(property.isOfService ? "Service" : "Unit")"
    let reply = try self.property(property.rawValue, property.signature, path: path, interface: interface)
    switch property.signature {
    case "s", "o": return try reply.readString(BusCode.string)
    case "u": return "\(try reply.readUInt32())"
    case "i": return "\(try reply.readInt32())"
    case "t": return "\(try reply.readUInt64())"
    case _:
      try reply.enter(BusCode.array, "(sasbttttuii)")
      guard try reply.enterIfAny(BusCode.structure, "sasbttttuii") else { return "" }
      return try reply.readString(BusCode.string)
    }
  }

  // MARK: Calls

  /// Asks the manager to tell about jobs; once.
  private func listen() throws(Failure) {
    guard unsafe slot == nil else { return }
    // SAFETY: deinit ends the slot before this value goes; the strings live for the call, which copies them.
    let result = unsafe sd_bus_match_signal(
      bus, &slot, Self.manager, Self.managerPath, Self.managerInterface, "JobRemoved",
      { message, context, _ in
        guard let context = unsafe context, let message = unsafe message else { return 0 }
        unsafe Unmanaged<SystemBus>.fromOpaque(context).takeUnretainedValue().noteEnd(message)
        return 0
      }, Unmanaged.passUnretained(self).toOpaque())
    guard result >= 0 else { throw Self.broken(result) }
    _ = try call("Subscribe", [])
  }

  private func noteEnd(_ pointer: OpaquePointer) {
    let message = unsafe BusMessage(borrowing: pointer)
    // What is not of this form is no JobRemoved.
    guard let id = try? message.readUInt32(), (try? message.readString(BusCode.objectPath)) != nil,
      (try? message.readString(BusCode.string)) != nil, let result = try? message.readString(BusCode.string)
    else { return }
    ended[id] = UnitJob.End(result)
  }

  private func exchange() throws(Failure) {
    while true {
      let result = unsafe sd_bus_process(bus, nil)
      if result == 0 { return }
      if result < 0 { throw Self.broken(result) }
    }
  }

  private func call(_ member: String, _ strings: [String]) throws(Failure) -> BusMessage {
    let message = try newCall(Self.managerPath, Self.managerInterface, member)
    for text in strings { try message.append(text) }
    return try send(message)
  }

  private func property(
    _ name: String, _ signature: String, path: String, interface: String
  ) throws(Failure) -> BusMessage {
    let message = try newCall(path, "org.freedesktop.DBus.Properties", "Get")
    try message.append(interface)
    try message.append(name)
    let reply = try send(message)
    try reply.enter(BusCode.variant, signature)
    return reply
  }

  private func newCall(_ path: String, _ interface: String, _ member: String) throws(Failure) -> BusMessage {
    var message: OpaquePointer?
    // SAFETY: the strings live for the call, which copies them.
    let result = unsafe sd_bus_message_new_method_call(bus, &message, Self.manager, path, interface, member)
    guard result >= 0, let message = unsafe message else { throw Self.broken(result) }
    return unsafe BusMessage(adopting: message)
  }

  private func send(_ message: borrowing BusMessage) throws(Failure) -> BusMessage {
    var error = unsafe sd_bus_error()
    defer { unsafe sd_bus_error_free(&error) }
    var reply: OpaquePointer?
    let result = unsafe sd_bus_call(bus, message.pointer, limit, &error, &reply)
    guard result >= 0, let reply = unsafe reply else {
      // SAFETY: both strings belong to the error, which lives until they are copied.
      let name = unsafe error.name.map { unsafe String(cString: $0) } ?? ""
      let text = unsafe error.message.map { unsafe String(cString: $0) } ?? Self.reason(result)
      let kind = Self.kind(of: name, code: result)
      throw Failure(
        kind: kind,
        sentence: kind == .disconnected ? "the system bus fails: \(text)" : Self.sentence(name, text))
    }
    return unsafe BusMessage(adopting: reply)
  }

  private static func kind(of name: String, code: Int32) -> Failure.Kind {
    switch name {
    case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.AuthFailed",
      "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired":
      .notAllowed
    case "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.NoSuchJob",
      "org.freedesktop.DBus.Error.UnknownObject":
      .noSuchUnit
    case "org.freedesktop.systemd1.UnitMasked", "org.freedesktop.systemd1.BadUnitSetting",
      "org.freedesktop.systemd1.LoadFailed":
      .unitUnusable
    case "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
      "org.freedesktop.DBus.Error.NoReply":
      .managerAway
    case "org.freedesktop.DBus.Error.Disconnected", "org.freedesktop.DBus.Error.Timeout":
      .disconnected
    case _: code == -ENOTCONN || code == -ECONNRESET || code == -ETIMEDOUT ? .disconnected : .refused
    }
  }

  private static func sentence(_ name: String, _ text: String) -> String {
    let trimmed = text.hasSuffix(".") ? String(text.dropLast()) : text
    switch name {
    case "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired":
      return "the service manager wants an administrator for this"
    case _: return "the service manager answers: \(trimmed)"
    }
  }

  static func broken(_ code: Int32) -> Failure {
    let isGone = code == -ENOTCONN || code == -ECONNRESET || code == -EPIPE
    return Failure(
      kind: isGone ? .disconnected : .refused, sentence: "the system bus fails: \(reason(code))")
  }

  private static func reason(_ code: Int32) -> String {
    // SAFETY: strerror returns a string of its own, copied at once.
    unsafe String(cString: strerror(abs(code)))
  }

  private static func path(of unit: String) throws(Failure) -> String {
    var path: UnsafeMutablePointer<CChar>?
    // SAFETY: the text is the caller's to free, after it was copied.
    let result = unsafe sd_bus_path_encode("\(managerPath)/unit", unit, &path)
    guard result >= 0, let path = unsafe path else { throw broken(result) }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
  }
}
