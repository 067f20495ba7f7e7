/// The client's side of one Varlink connection, without I/O.
///
/// Calls may be pipelined; replies come in the order of the calls.
public struct ClientConnection: Sendable {
  /// How a call is to be answered.
  public enum Mode: Hashable, Sendable {
    /// One reply.
    case single
    /// Any number of replies.
    case more
    /// No reply at all.
    case oneway
  }

  /// Bounds on this connection.
  public let limits: ConnectionLimits
  /// Why the connection must be closed, once it must.
  public private(set) var violation: ProtocolViolation?

  private var framer: MessageFramer
  private var queue = OutputQueue()
  private var outstanding: [(call: UInt64, mode: Mode)] = []
  private var lastCall: UInt64 = 0
  private var inputEnded = false

  /// A new connection.
  public init(limits: ConnectionLimits = ConnectionLimits()) {
    self.limits = limits
    framer = MessageFramer(messageBytes: limits.messageBytes)
  }

  /// Bytes to write to the socket, in order. Tell ``didSend(_:)`` how many were written.
  public var output: ArraySlice<UInt8> { queue.bytes }

  /// Whether calls wait for replies.
  public var isWaiting: Bool { !outstanding.isEmpty }

  /// Queues a call.
  ///
  /// - Parameter method: The full name, `interface.Method`.
  /// - Returns: The call's number, as it stands in its replies.
  /// - Throws: `EncodingError` if the parameters cannot be written as a JSON object.
  @discardableResult
  public mutating func call(
    _ method: String, _ parameters: some Encodable, mode: Mode = .single
  ) throws -> UInt64 {
    precondition(InterfaceName.split(method) != nil, "'\(method)' is not the name of a method")
    let encoded = try JSONParameters(encoding: parameters).bytes
    let flag =
      switch mode {
      case .single: ""
      case .more: #","more":true"#
      case .oneway: #","oneway":true"#
      }
    queue.append(
      message: Array(#"{"method":"\#(method)","parameters":"#.utf8), encoded, Array("\(flag)}".utf8))
    lastCall += 1
    if mode != .oneway { outstanding.append((lastCall, mode)) }
    return lastCall
  }

  /// Forgets output that was written.
  public mutating func didSend(_ count: Int) {
    queue.drop(count)
  }

  /// Takes bytes that were read.
  public mutating func receive(_ bytes: some Sequence<UInt8>) {
    guard violation == nil else { return }
    framer.append(bytes)
  }

  /// Notes that the service closed the connection.
  public mutating func receiveEnd() {
    inputEnded = true
  }

  /// The next reply, or `nil` if more bytes are needed. Members that are not known are passed over inside
  /// parameters, but not in the envelope.
  ///
  /// - Throws: Why the connection must be closed; ``ProtocolViolation/truncated`` if the service closed it
  ///   while calls wait.
  public mutating func nextReply() throws(ProtocolViolation) -> ClientReply? {
    if let violation { throw violation }
    do throws(ProtocolViolation) {
      guard let message = try framer.next() else {
        if inputEnded && (isWaiting || framer.bufferedByteCount > 0) { throw .truncated }
        return nil
      }
      return try accept(message)
    } catch {
      violation = error
      throw error
    }
  }

  private mutating func accept(_ message: [UInt8]) throws(ProtocolViolation) -> ClientReply {
    let envelope = try Envelope(message, direction: .reply, maximumDepth: limits.nestingDepth)
    guard let (call, mode) = outstanding.first else { throw .unexpectedReply }
    let continues = envelope.flags.contains("continues")
    if continues && (mode != .more || envelope.error != nil) { throw .unexpectedContinuation }
    if !continues { outstanding.removeFirst() }
    let content: ClientReply.Content =
      if let name = envelope.error {
        .error(name: name, envelope.parameters)
      } else {
        .parameters(envelope.parameters)
      }
    return ClientReply(call: call, content: content, continues: continues)
  }
}
