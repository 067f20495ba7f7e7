/// Kinds of events that a sidecar tells the journal about (`MESSAGE_ID`). Each has an entry in
/// units/baton-remote.catalog.
public enum RemoteMessageID: String, CaseIterable, Sendable {
  /// It serves from now on.
  case ready = "e62f7a0e28a649409affa12fab70e26c"
  /// It ends.
  case stopping = "283b3ab47b0f49e5a634b6223a210df1"
  /// It cannot start.
  case cannotStart = "ead6a43f759642ce8f4a0c685c0a41f6"
  /// A VMM waits for a guest.
  case guestAwaited = "5ccbf1ecf9bd4a1991aca8b07ba3b3e1"
  /// Two VMMs can talk to each other.
  case linkOpened = "aa7a6e8b648c405fa36651cfccfabbaf"
  /// Both have ended their streams.
  case linkEnded = "5b500348175c43dcab6724a987075017"
  /// The connection of two VMMs ended before its time.
  case linkLost = "be33f5809b324f1c913341abbf59b88a"
  /// Something was refused, or failed before there was a link.
  case refused = "c24e28879258480fa0c4648c7b6da509"
  /// An operator or a peer was answered about a migration.
  case answered = "e687e2f5313441f0b34acb1fbb59ba8b"
  /// Certificates were read again.
  case certificatesRead = "b8a861cc158540c68661e8c1cde11ab1"
  /// They could not be; those from before stay.
  case certificatesKept = "5a904cb5d4c44822a0866a5a6f3fee9a"
}

extension RemoteEvent {
  /// What the journal calls it.
  public var messageID: RemoteMessageID {
    switch self {
    case .waiting: .guestAwaited
    case .linked: .linkOpened
    case .ended(_, _, _, _, let fault): fault == nil ? .linkEnded : .linkLost
    case .refused: .refused
    case .answered: .answered
    case .reloaded: .certificatesRead
    case .reloadFailed: .certificatesKept
    }
  }
}
