/// Bounds on what one connection may cost.
public struct ConnectionLimits: Hashable, Sendable {
  /// Longest message in bytes, without its `NUL`. A longer one ends the connection.
  public var messageBytes: Int
  /// Deepest nesting of objects and arrays in a message.
  public var nestingDepth: Int
  /// Bytes that may wait for a slow reader. A reply that finds more than this waiting ends the connection;
  /// a single reply may be longer.
  public var queuedOutputBytes: Int

  /// The limits systemd uses for messages (16 MiB), and bounds of our own for nesting and output.
  public init(
    messageBytes: Int = 16 << 20, nestingDepth: Int = 32, queuedOutputBytes: Int = 4 << 20
  ) {
    precondition(messageBytes > 0 && nestingDepth > 0 && queuedOutputBytes > 0, "limits are positive")
    self.messageBytes = messageBytes
    self.nestingDepth = nestingDepth
    self.queuedOutputBytes = queuedOutputBytes
  }
}
