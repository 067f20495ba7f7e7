/// A call that a server has to answer.
public struct ServerCall: Hashable, Sendable {
  /// The place of a call on its connection; the first call is 1.
  public struct Number: Hashable, Sendable {
    /// Counts from 1 on each connection.
    public let value: UInt64
  }

  /// How the caller wants to be answered.
  public enum Mode: String, Hashable, Sendable, CaseIterable {
    /// One reply.
    case single
    /// Any number of replies.
    case more
    /// No reply at all.
    case oneway
    /// One reply, after which the connection speaks another protocol.
    case upgrade
  }

  /// Which call this is; goes with every reply.
  public let number: Number
  /// The interface's name.
  public let interface: String
  /// The method's name without the interface.
  public let method: String
  /// How the caller wants to be answered.
  public let mode: Mode
  /// The parameters, which fit the method's declaration.
  public let parameters: JSONParameters

  /// `interface.method`
  public var fullName: String { "\(interface).\(method)" }
}
