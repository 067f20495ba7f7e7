/// What a sidecar tells about itself.
public enum RemoteEvent: Hashable, Sendable {
  /// A VMM waits for a guest.
  case waiting(guest: String, uid: UInt32)
  /// Two VMMs can talk to each other.
  case linked(guest: String, peer: String, isIncoming: Bool)
  /// That came to its end: both streams ended, or a fault.
  case ended(guest: String, peer: String, sent: UInt64, received: UInt64, RemoteFault?)
  /// Something was refused, or failed before there was a link.
  case refused(RemoteFault, by: String)
  /// An operator or a peer was answered about a migration.
  case answered(verb: String, peer: String, answer: String)
  /// Certificates were read again.
  case reloaded(names: [String], endOfValidity: Int)
  /// They could not be; those from before stay.
  case reloadFailed(RemoteFault)
}
