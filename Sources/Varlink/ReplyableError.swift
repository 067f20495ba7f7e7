/// An error that can be the answer to a call.
public protocol ReplyableError: Error, Sendable {
  /// The full name, `interface.Error`.
  var errorName: String { get }
  /// The error's parameters, encoded as a JSON object.
  var errorParameters: any Encodable & Sendable { get }
}
