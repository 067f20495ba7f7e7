/// A reply to a call that a client made.
public struct ClientReply: Hashable, Sendable {
  /// What the service answered.
  public enum Content: Hashable, Sendable {
    /// The method's output.
    case parameters(JSONParameters)
    /// An error: its full name and its parameters.
    case error(name: String, JSONParameters)
  }

  /// Which call this answers: calls count from 1 on each connection.
  public let call: UInt64
  /// What was answered.
  public let content: Content
  /// Whether more replies to this call follow.
  public let continues: Bool
}
