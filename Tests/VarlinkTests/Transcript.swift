import RegistryInterface
import Varlink

/// A small service and helpers to talk to it in text.
enum Transcript {
  static let interfaceText = """
    # For tests.
    interface org.example.test

    type Color (red, green)

    # Adds.
    method Add(a: int, b: int, note: ?string) -> (sum: int)
    method Count(to: int) -> (value: int)
    method Paint(color: Color, tags: [string]string, points: []( x: int, y: int ), raw: ?object) -> ()
    error Overflow(limit: int)

    """

  static func service() throws -> Service {
    Service(
      vendor: "Vendor", product: "Product", version: "1", url: "https://example.org",
      interfaces: [.init(try InterfaceDescription(interfaceText), methodsExpectingMore: ["Count"])])
  }

  /// Messages, each ended by a zero byte.
  static func bytes(_ messages: String...) -> [UInt8] {
    messages.flatMap { Array($0.utf8) + [0] }
  }

  /// All output as messages; forgets it.
  static func drain(_ connection: inout ServerConnection) -> [String] {
    let output = Array(connection.output)
    connection.didSend(output.count)
    return output.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Answers every call of the test service as its declaration says, until the connection has none.
  static func serve(_ connection: inout ServerConnection) throws(ProtocolViolation) {
    while let call = try connection.nextCall() {
      answer(call, &connection)
    }
  }

  private static func answer(_ call: ServerCall, _ connection: inout ServerConnection) {
    struct AddInput: Decodable {
      var a: Int64
      var b: Int64
    }
    do {
      switch call.method {
      case "Add":
        let input = try call.parameters.decode(AddInput.self)
        let (sum, overflow) = input.a.addingReportingOverflow(input.b)
        if overflow {
          connection.reply(to: call.number, error: Overflow(limit: .max))
        } else {
          connection.reply(to: call.number, ["sum": sum])
        }
      case "Count":
        let to = try call.parameters.decode([String: Int64].self)["to"] ?? 0
        for value in 1...to {
          connection.reply(to: call.number, ["value": value], continues: value < to)
        }
      case _: connection.reply(to: call.number, [String: String]())
      }
    } catch {
      connection.reply(to: call.number, error: ServiceError.invalidParameter(parameter: "unexpected"))
    }
  }

  struct Overflow: ReplyableError {
    let limit: Int64
    var errorName: String { "org.example.test.Overflow" }
    var errorParameters: any Encodable & Sendable { ["limit": limit] }
  }
}
