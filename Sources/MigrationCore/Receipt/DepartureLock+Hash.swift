public import BatonWire
import Crypto

extension DepartureLock {
  /// SHA-256 of the bytes `baton departure receipt`, the migration's id and the receipt.
  ///
  /// Both registries and the target's VMM compute it; nobody can find the receipt from it.
  public init(of receipt: DepartureReceipt, for id: MigrationID) {
    var hash = SHA256()
    hash.update(data: Array("baton departure receipt".utf8))
    hash.update(data: id.bytes)
    hash.update(data: receipt.bytes)
    guard let lock = Self(Array(hash.finalize())) else {
      preconditionFailure("SHA-256 gives 32 bytes")
    }
    self = lock
  }

  /// Computes one of nothing. The first hash of a process costs a tenth of a millisecond and more; who will compute one
  /// while a guest stands still calls this before.
  public static func rehearse() { _ = DepartureLock(of: .random(), for: .random()) }
}
