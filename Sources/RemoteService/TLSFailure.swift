import NIOCore
import NIOSSL

/// What an error of the TLS library means.
enum TLSFailure {
  /// Which side of the connection this is.
  enum Side: Hashable, Sendable {
    /// It connected to this host.
    case connecting(to: String)
    /// Somebody connected to it.
    case accepting
  }

  /// The fault behind an error during the handshake, or before the first answer.
  ///
  /// With TLS 1.3 the connecting side is done before its certificate is looked at; so the refusal of its certificate
  /// reaches it as an alert afterwards.
  static func fault(
    _ error: any Error, peer: String, side: Side, names: [String] = []
  ) -> RemoteFault {
    if let extra = error as? NIOSSLExtraError,
      extra == .failedToValidateHostname || extra == .serverHostnameImpossibleToMatch
    {
      switch side {
      case .connecting(let host): return .wrongPeerName(expected: host, found: names)
      case .accepting: return .tlsFailed(peer: peer, reason: reason(of: error))
      }
    }
    let text = reason(of: error)
    for (mark, fault) in marks where text.contains(mark) { return fault(peer) }
    return .tlsFailed(peer: peer, reason: text)
  }

  /// Reasons in the error texts of the TLS library (its names are stable: they are OpenSSL's), most telling first.
  private static let marks: [(String, @Sendable (String) -> RemoteFault)] = [
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", { .certificateMissing(peer: $0) }),
    (
      "CERTIFICATE_VERIFY_FAILED",
      {
        .certificateRejected(
          peer: $0,
          reason: "it is not of a trusted CA, or its time has passed or not come, or it is not for this use")
      }
    ),
    ("ALERT_CERTIFICATE_REQUIRED", { .ownCertificateRejected(peer: $0, reason: "none was shown") }),
    ("ALERT_DECRYPT_ERROR", { .ownCertificateRejected(peer: $0, reason: "a signature is wrong") }),
    ("ALERT_DECODE_ERROR", { .ownCertificateRejected(peer: $0, reason: "it is damaged") }),
    ("CANNOT_PARSE_LEAF_CERT", { .certificateRejected(peer: $0, reason: "it is damaged") }),
    ("BAD_SIGNATURE", { .certificateRejected(peer: $0, reason: "a signature is wrong") }),
    ("ALERT_UNKNOWN_CA", { .ownCertificateRejected(peer: $0, reason: "its CA is not trusted there") }),
    ("ALERT_CERTIFICATE_EXPIRED", { .ownCertificateRejected(peer: $0, reason: "its time has passed") }),
    ("ALERT_CERTIFICATE_REVOKED", { .ownCertificateRejected(peer: $0, reason: "it is revoked") }),
    ("ALERT_BAD_CERTIFICATE", { .ownCertificateRejected(peer: $0, reason: "it is damaged") }),
    (
      "ALERT_UNSUPPORTED_CERTIFICATE", { .ownCertificateRejected(peer: $0, reason: "it is not for this use") }
    ),
    ("ALERT_CERTIFICATE_UNKNOWN", { .ownCertificateRejected(peer: $0, reason: "no reason was given") }),
    ("ALERT_PROTOCOL_VERSION", { .oldTLSVersion(peer: $0) }),
    ("UNSUPPORTED_PROTOCOL", { .oldTLSVersion(peer: $0) }),
    ("WRONG_VERSION_NUMBER", { .tlsFailed(peer: $0, reason: "what it sends is not TLS") }),
    ("NO_APPLICATION_PROTOCOL", { .unknownProtocol(peer: $0, offered: nil) }),
    (
      "EOF during handshake",
      { .tlsFailed(peer: $0, reason: "it closed the connection during the handshake") }
    ),
  ]

  /// An error in words, without the places in the library's source.
  static func reason(of error: any Error) -> String {
    if let error = error as? NIOSSLError, case .handshakeFailed(let inner) = error {
      return reason(of: inner)
    }
    if let error = error as? NIOSSLError, case .uncleanShutdown = error {
      return "the connection ended without an end of the stream"
    }
    if let error = error as? BoringSSLError, case .sslError(let stack) = error {
      return stack.map { strip($0.description) }.joined(separator: ", ")
    }
    if let error = error as? IOError { return strip("\(error)") }
    return strip("\(error)")
  }

  /// The name in `Error: 268436498 error:10000412:SSL routines:OPENSSL_internal:SSLV3_ALERT_BAD_CERTIFICATE at …`.
  private static func strip(_ text: String) -> String {
    guard let start = text.firstRange(of: "OPENSSL_internal:")?.upperBound else { return text }
    return String(text[start...].prefix { $0 != " " && $0 != ":" })
  }
}
