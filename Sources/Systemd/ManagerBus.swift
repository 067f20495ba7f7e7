import CSystemd
import Glibc
import LinuxOS

/// The few questions that a service asks the service manager about its own unit, over the system bus.
///
/// Lives on the loop's thread. Costs nothing while nothing is asked.
@safe final class ManagerBus {
  /// Why there is no answer.
  struct Failure: Error {
    let sentence: String
  }

  private let loop: EventLoop
  private var bus: OpaquePointer?
  private var slot: OpaquePointer?
  private var completion: ((Result<UInt32, Failure>) -> Void)?
  private var unitPath = ""

  /// How long an answer may take, in microseconds.
  private static let limit: UInt64 = 5_000_000
  private static let destination = "org.freedesktop.systemd1"
  private static let service = "org.freedesktop.systemd1.Service"

  /// Connects and finds the unit of this process. Waits for the answers: for use before the loop runs.
  init(loop: EventLoop) throws(Failure) {
    self.loop = loop
    try connect()
    unitPath = try findUnit()
  }

  deinit { disconnect() }

  /// A number among the properties of this service's unit. Waits for the answer.
  func readNow(_ property: String) throws(Failure) -> UInt32 {
    let message = try unsafe question(property)
    defer { _ = unsafe sd_bus_message_unref(message) }
    let reply = try unsafe call(message)
    defer { _ = unsafe sd_bus_message_unref(reply) }
    return try unsafe Self.number(in: reply)
  }

  /// The same without waiting; one question at a time.
  func read(_ property: String, _ completion: @escaping (Result<UInt32, Failure>) -> Void) {
    precondition(self.completion == nil, "the bus is asked one thing at a time")
    do throws(Failure) {
      // A bus that was restarted has forgotten this connection.
      if unsafe sd_bus_is_open(bus) <= 0 { try connect() }
      let message = try unsafe question(property)
      defer { _ = unsafe sd_bus_message_unref(message) }
      self.completion = completion
      // SAFETY: deinit ends the slot before this value goes.
      let result = unsafe sd_bus_call_async(
        bus, &slot, message,
        { reply, context, _ in
          guard let context = unsafe context, let reply = unsafe reply else { return 0 }
          unsafe Unmanaged<ManagerBus>.fromOpaque(context).takeUnretainedValue().answered(reply)
          return 0
        }, Unmanaged.passUnretained(self).toOpaque(), Self.limit)
      if result < 0 {
        self.completion = nil
        throw Failure(sentence: "the system bus takes no question: \(Self.reason(result))")
      }
    } catch {
      completion(.failure(error))
    }
  }

  private func answered(_ reply: OpaquePointer) {
    _ = unsafe sd_bus_slot_unref(slot)
    unsafe slot = nil
    let completion = completion
    self.completion = nil
    let result: Result<UInt32, Failure>
    do throws(Failure) {
      let code = unsafe sd_bus_message_get_errno(reply)
      if code != 0 {
        throw Failure(sentence: "the service manager does not answer on the system bus: \(Self.reason(code))")
      }
      result = .success(try unsafe Self.number(in: reply))
    } catch {
      result = .failure(error)
    }
    completion?(result)
  }

  // MARK: Connection

  private func connect() throws(Failure) {
    disconnect()
    let opened = unsafe sd_bus_open_system(&bus)
    guard opened >= 0 else {
      throw Failure(sentence: "the system bus cannot be reached: \(Self.reason(opened))")
    }
    let attached = unsafe sd_bus_attach_event(bus, loop.handle, Int32(EventLoop.Priority.timers.rawValue))
    guard attached >= 0 else {
      throw Failure(sentence: "the system bus cannot be watched: \(Self.reason(attached))")
    }
  }

  private func disconnect() {
    _ = unsafe sd_bus_slot_unref(slot)
    unsafe slot = nil
    if let open = unsafe bus {
      _ = unsafe sd_bus_detach_event(open)
      _ = unsafe sd_bus_close_unref(open)
    }
    unsafe bus = nil
  }

  private func findUnit() throws(Failure) -> String {
    let message = try unsafe newCall(
      path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager", member: "GetUnitByPID"
    )
    defer { _ = unsafe sd_bus_message_unref(message) }
    var pid = UInt32(ThisProcess.pid)
    // SAFETY: the number lives for the call, which copies it.
    try Self.check(unsafe sd_bus_message_append_basic(message, Code.uint32, &pid))
    let reply = try unsafe call(message)
    defer { _ = unsafe sd_bus_message_unref(reply) }
    var path: UnsafePointer<CChar>?
    // SAFETY: an object path is read as a pointer into the reply, which lives until the string is copied.
    try Self.check(unsafe sd_bus_message_read_basic(reply, Code.objectPath, &path))
    guard let path = unsafe path else { throw Failure(sentence: "the service manager names no unit") }
    return unsafe String(cString: path)
  }

  // MARK: Messages

  /// Type codes of D-Bus.
  private enum Code {
    static let uint32 = CChar(UInt8(ascii: "u"))
    static let string = CChar(UInt8(ascii: "s"))
    static let objectPath = CChar(UInt8(ascii: "o"))
    static let variant = CChar(UInt8(ascii: "v"))
  }

  private func question(_ property: String) throws(Failure) -> OpaquePointer {
    let message = try unsafe newCall(
      path: unitPath, interface: "org.freedesktop.DBus.Properties", member: "Get")
    do throws(Failure) {
      for text in [Self.service, property] {
        // SAFETY: the text lives for the call, which copies it.
        try Self.check(
          unsafe text.withCString { unsafe sd_bus_message_append_basic(message, Code.string, $0) })
      }
    } catch {
      _ = unsafe sd_bus_message_unref(message)
      throw error
    }
    return unsafe message
  }

  private func newCall(path: String, interface: String, member: String) throws(Failure) -> OpaquePointer {
    var message: OpaquePointer?
    // SAFETY: the strings live for the call, which copies them.
    try Self.check(
      unsafe sd_bus_message_new_method_call(bus, &message, Self.destination, path, interface, member))
    guard let message = unsafe message else { throw Failure(sentence: "no message could be made") }
    return unsafe message
  }

  private func call(_ message: OpaquePointer) throws(Failure) -> OpaquePointer {
    var reply: OpaquePointer?
    let result = unsafe sd_bus_call(bus, message, Self.limit, nil, &reply)
    guard result >= 0, let reply = unsafe reply else {
      throw Failure(sentence: "the service manager does not answer on the system bus: \(Self.reason(result))")
    }
    return unsafe reply
  }

  private static func number(in reply: OpaquePointer) throws(Failure) -> UInt32 {
    var value: UInt32 = 0
    // SAFETY: the value lives for the call; its type is what the container says.
    try check(unsafe sd_bus_message_enter_container(reply, Code.variant, "u"))
    try check(unsafe sd_bus_message_read_basic(reply, Code.uint32, &value))
    return value
  }

  private static func check(_ result: Int32) throws(Failure) {
    if result < 0 { throw Failure(sentence: "a message of the system bus is wrong: \(reason(result))") }
  }

  private static func reason(_ code: Int32) -> String {
    // SAFETY: strerror returns a string of its own, copied at once.
    unsafe String(cString: strerror(abs(code)))
  }
}
