/// Why a connection must be closed. Varlink has no reply for these: the peer does not speak the protocol.
public enum ProtocolViolation: Error, Hashable, Sendable {
  /// A message is longer than the limit, in bytes.
  case messageTooLong(limit: Int)
  /// A message is not a JSON object in strict UTF-8, or is nested too deep.
  case malformed(JSONFault)
  /// A member of the message's envelope has the wrong type.
  case wrongMemberType(member: String)
  /// The envelope has a member that the specification does not know and that is not a vendor's.
  case unknownMember(String)
  /// The envelope lacks a member that it must have.
  case missingMember(String)
  /// More than one of `oneway`, `more` and `upgrade` is set.
  case contradictingFlags
  /// The method is not of the form `interface.Method`.
  case invalidMethodName(String)
  /// A reply came that no call waits for.
  case unexpectedReply
  /// A reply says `continues`, but the call did not ask for more, or the reply is an error.
  case unexpectedContinuation
  /// The peer does not read: too many bytes wait for it.
  case slowReader(queuedBytes: Int)
  /// A reply of ours cannot be written as JSON.
  case unencodableReply(String)
  /// The peer closed the connection inside a message or before it answered.
  case truncated
}

extension ProtocolViolation: CustomStringConvertible {
  /// One clause for a log line, without a full stop. What the peer chose is shortened and cleaned.
  public var description: String {
    switch self {
    case .messageTooLong(let limit): "message is longer than \(limit) bytes"
    case .malformed(let fault): "message is not acceptable JSON: \(fault)"
    case .wrongMemberType(let member): "member '\(member)' of the message has the wrong type"
    case .unknownMember(let member): "message has the unknown member '\(Self.excerpt(member))'"
    case .missingMember(let member): "message lacks the member '\(member)'"
    case .contradictingFlags: "more than one of oneway, more and upgrade is set"
    case .invalidMethodName(let name): "'\(Self.excerpt(name))' is not the name of a method"
    case .unexpectedReply: "a reply came that no call waits for"
    case .unexpectedContinuation: "a reply announces another one, which was not asked for"
    case .slowReader(let bytes): "peer does not read, \(bytes) bytes wait for it"
    case .unencodableReply(let cause): "reply cannot be written as JSON: \(cause)"
    case .truncated: "peer closed the connection before the end"
    }
  }

  /// The beginning of a text that a stranger chose, fit for one line of a log.
  private static func excerpt(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(64) {
      result.unicodeScalars.append(
        scalar.isASCII && scalar.value >= 0x20 && scalar.value != 0x7F ? scalar : "?")
    }
    return result
  }
}
