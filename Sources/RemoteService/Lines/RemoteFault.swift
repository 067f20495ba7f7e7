import BatonWire

/// Why the sidecar did not do what it was asked, or stopped doing it.
///
/// Each case has the name of a refusal, which travels in answers, a sentence, and what to do. Where a guest stands is
/// never decided here: before the source gave it up, it runs on at the source.
public enum RemoteFault: Error, Hashable, Sendable {
  // The first line of a connection
  /// Not one of the lines that are understood here.
  case malformedLine(String)
  /// No line end within so many bytes.
  case lineTooLong(limit: Int)
  /// No whole line in time.
  case lineLate(milliseconds: UInt32)
  // Who asks
  /// The local user may not use the socket, or not for this.
  case userNotAllowed(uid: UInt32, verb: String)
  /// So many connections are open already.
  case tooManyConnections(limit: Int)
  /// This user has so many connections open already.
  case tooManyConnectionsOfUser(uid: UInt32, limit: Int)
  /// Another VMM waits for this guest.
  case secondWaiter(guest: String)
  // Reaching the peer
  /// The name cannot be resolved, or nobody accepts.
  case unreachable(host: String, reason: String)
  /// No TCP connection in time.
  case connectLate(host: String, milliseconds: UInt32)
  /// TCP is there, TLS did not come in time.
  case handshakeLate(peer: String, milliseconds: UInt32)
  // TLS
  /// The peer that connected showed no certificate.
  case certificateMissing(peer: String)
  /// The peer's certificate is not accepted here.
  case certificateRejected(peer: String, reason: String)
  /// Ours is not accepted there.
  case ownCertificateRejected(peer: String, reason: String)
  /// Our certificate, key or CA file cannot be used.
  case ownCertificateUnusable(file: String, reason: String)
  /// The certificate is good, and somebody else's.
  case wrongPeerName(expected: String, found: [String])
  /// The certificate is good, and nobody of that name may connect.
  case peerNotAllowed(peer: String, names: [String])
  /// The peer speaks no TLS 1.3.
  case oldTLSVersion(peer: String)
  /// The peer speaks something else inside TLS (ALPN).
  case unknownProtocol(peer: String, offered: String?)
  /// TLS failed in another way.
  case tlsFailed(peer: String, reason: String)
  // The course of a connection
  /// No VMM waits for this guest here.
  case notWaiting(guest: String)
  /// The peer's sidecar refused.
  case refusedByPeer(peer: String, refusal: String, sentence: String)
  /// The connection ended without its end.
  case linkLost(peer: String, reason: String)
  /// Nothing came for so long.
  case idle(peer: String, milliseconds: UInt32)
  /// The local VMM went away.
  case localClientGone
  /// The own registry cannot be asked.
  case registryUnanswered(reason: String)
  /// The own registry refused.
  case registryRefused(refusal: String, sentence: String)
  /// This program ends.
  case stopping
}

extension RemoteFault {
  /// The name of the refusal, as it stands in answers.
  public var refusal: String {
    switch self {
    case .malformedLine, .lineTooLong: "malformedRecord"
    case .lineLate: "deadlinePassed"
    case .userNotAllowed: "wrongPeer"
    case .tooManyConnections, .tooManyConnectionsOfUser: "quotaExceeded"
    case .secondWaiter: "secondSuccessor"
    case .unreachable, .connectLate, .handshakeLate, .tlsFailed, .stopping: "remoteUnreachable"
    case .certificateMissing, .certificateRejected, .ownCertificateRejected, .ownCertificateUnusable:
      "certificateInvalid"
    case .wrongPeerName, .peerNotAllowed: "wrongPeerName"
    case .oldTLSVersion, .unknownProtocol: "streamVersion"
    case .notWaiting: "targetNotWaiting"
    case .refusedByPeer(_, let refusal, _), .registryRefused(let refusal, _): refusal
    case .linkLost, .idle: "linkLost"
    case .localClientGone: "peerDisconnected"
    case .registryUnanswered: "settling"
    }
  }

  /// The name of the case, for logs.
  public var name: String {
    switch self {
    case .malformedLine: "malformedLine"
    case .lineTooLong: "lineTooLong"
    case .lineLate: "lineLate"
    case .userNotAllowed: "userNotAllowed"
    case .tooManyConnections: "tooManyConnections"
    case .tooManyConnectionsOfUser: "tooManyConnectionsOfUser"
    case .secondWaiter: "secondWaiter"
    case .unreachable: "unreachable"
    case .connectLate: "connectLate"
    case .handshakeLate: "handshakeLate"
    case .certificateMissing: "certificateMissing"
    case .certificateRejected: "certificateRejected"
    case .ownCertificateRejected: "ownCertificateRejected"
    case .ownCertificateUnusable: "ownCertificateUnusable"
    case .wrongPeerName: "wrongPeerName"
    case .peerNotAllowed: "peerNotAllowed"
    case .oldTLSVersion: "oldTLSVersion"
    case .unknownProtocol: "unknownProtocol"
    case .tlsFailed: "tlsFailed"
    case .notWaiting: "notWaiting"
    case .refusedByPeer: "refusedByPeer"
    case .linkLost: "linkLost"
    case .idle: "idle"
    case .localClientGone: "localClientGone"
    case .registryUnanswered: "registryUnanswered"
    case .registryRefused: "registryRefused"
    case .stopping: "stopping"
    }
  }
}

extension RemoteFault: CustomStringConvertible {
  /// What was attempted, why it failed, and what to do: one sentence.
  ///
  /// Names and reasons in it come from peers, from operators and by way of the registry from VMMs. Nothing in them moves
  /// a terminal's cursor or begins another line of a log.
  public var description: String { PeerText.visible(sentence, limit: FirstLine.limit) }

  private var sentence: String {
    switch self {
    case .malformedLine(let what):
      "the first line is not understood: \(what); compare the versions of the programs on both hosts"
    case .lineTooLong(let limit):
      "the first line has more than \(limit) bytes; compare the versions of the programs on both hosts"
    case .lineLate(let limit): "no whole line came within \(limit) ms; see whether the other side hangs"
    case .userNotAllowed(let uid, let verb):
      "user \(uid) may not ask for '\(verb)' here; use root, or name the user with --user or a group with "
        + "--admin-group"
    case .tooManyConnections(let limit):
      "\(limit) connections are open already; try again when some have ended, or raise --maximum-connections"
    case .tooManyConnectionsOfUser(let uid, let limit):
      "user \(uid) has \(limit) connections open already; try again when some have ended, or raise "
        + "--maximum-per-user"
    case .secondWaiter(let guest):
      "another VMM waits for guest \(guest) here already; end it, or let the guest come to it"
    case .unreachable(let host, let reason):
      "\(host) cannot be reached: \(reason); check the name, the network and that baton-remote runs there"
    case .connectLate(let host, let limit):
      "\(host) did not accept a connection within \(limit) ms; check the network and firewalls between the hosts"
    case .handshakeLate(let peer, let limit):
      "\(peer) did not finish the TLS handshake within \(limit) ms; check that baton-remote listens on that port"
    case .certificateMissing(let peer):
      "\(peer) showed no certificate; both hosts need one of a CA that the other trusts"
    case .certificateRejected(let peer, let reason):
      "the certificate of \(peer) was refused: \(reason); renew it, or trust its CA with --ca"
    case .ownCertificateRejected(let peer, let reason):
      "\(peer) refused the certificate of this host: \(reason); renew it, or let that host trust its CA"
    case .ownCertificateUnusable(let file, let reason):
      "\(file) cannot be used: \(reason); give a PEM file with --cert, --key or --ca, or a credential"
    case .wrongPeerName(let expected, let found):
      "the certificate of the peer is not for \(expected)\(Self.list(found)); connect to the name that its "
        + "certificate has"
    case .peerNotAllowed(let peer, let names):
      "\(peer) may not connect here\(Self.list(names)); allow one of its names with --allow"
    case .oldTLSVersion(let peer): "\(peer) speaks no TLS 1.3; nothing older is accepted"
    case .unknownProtocol(let peer, let offered):
      "\(peer) does not speak baton/1 inside TLS (\(offered.map { "it speaks \($0)" } ?? "it names no protocol")"
        + "); check host and port, and the versions of baton-remote on both hosts"
    case .tlsFailed(let peer, let reason): "TLS with \(peer) failed: \(reason); see the log of both hosts"
    case .notWaiting(let guest):
      "no VMM waits for guest \(guest) there; start one with --incoming on the target host first"
    case .refusedByPeer(let peer, _, let sentence): "\(peer) refused: \(sentence)"
    case .linkLost(let peer, let reason):
      "the connection with \(peer) was lost: \(reason); ask for the state of the guest with batonctl on both hosts"
    case .idle(let peer, let limit):
      "nothing came from \(peer) for \(limit) ms; check the network, and see batonctl on both hosts"
    case .localClientGone: "the program on this host closed its connection"
    case .registryUnanswered(let reason):
      "the registry of this host did not answer: \(reason); check that batond runs, then ask again"
    case .registryRefused(_, let sentence): "the registry of this host refused: \(sentence)"
    case .stopping: "baton-remote is stopping; ask again when it is back"
    }
  }

  private static func list(_ names: [String]) -> String {
    names.isEmpty ? ": it names no host" : " but for \(names.prefix(8).joined(separator: ", "))"
  }
}
