import FuzzSupport
import RegistryInterface
import Varlink

/// Bytes as a client's stream, in pieces that the input chooses, and as an interface's text. However it is
/// cut, a stream must give the same calls; an accepted interface must be accepted again.
@c(LLVMFuzzerTestOneInput)
public func fuzzVarlink(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  guard let kind = input.first else { return 0 }
  let body = Array(input.dropFirst())
  if kind & 1 == 1 {
    let text = String(decoding: body, as: UTF8.self)
    guard let interface = try? InterfaceDescription(text) else { return 0 }
    precondition((try? InterfaceDescription(interface.text)) == interface, "an interface changed")
    return 0
  }
  // A zero byte ends a message; the cut points come from the first byte.
  let whole = calls(body, piece: body.count)
  let cut = calls(body, piece: 1 + Int(kind >> 1))
  precondition(whole == cut, "the calls depend on how the stream was cut")
  return 0
}

/// What a connection made of a stream: calls, everything sent, and whether it was closed for a violation.
private struct Course: Equatable {
  var calls: [ServerCall] = []
  var sent: [UInt8] = []
  var isViolated = false
}

private let limits = ConnectionLimits(messageBytes: 65_536, nestingDepth: 32, queuedOutputBytes: 1_048_576)
private let service = Service(
  vendor: "Baton", product: "fuzz", version: "0", url: "https://localhost",
  interfaces: [.init(BatonRegistry.description)])

private func calls(_ bytes: [UInt8], piece: Int) -> Course {
  var course = Course()
  var connection = ServerConnection(service: service, limits: limits)
  var next = 0
  while next < bytes.count, !course.isViolated {
    let end = min(bytes.count, next + piece)
    connection.receive(bytes[next..<end])
    next = end
    answer(&connection, &course)
  }
  connection.receiveEnd()
  answer(&connection, &course)
  return course
}

private func answer(_ connection: inout ServerConnection, _ course: inout Course) {
  do {
    while let call = try connection.nextCall() {
      course.calls.append(call)
      connection.reply(to: call.number, error: ServiceError.methodNotImplemented(method: call.fullName))
      drain(&connection, &course)
    }
  } catch {
    course.isViolated = true
  }
  drain(&connection, &course)
}

private func drain(_ connection: inout ServerConnection, _ course: inout Course) {
  course.sent += connection.output
  connection.didSend(connection.output.count)
}
