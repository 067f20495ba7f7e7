import Crypto

/// AES-256-GCM as a code over a frame: nothing is encrypted, the whole frame is authenticated.
///
/// The nonce is the direction and the batch's sequence, so a batch is right in one place of one stream only.
struct BatchSeal: Sendable {
  static let tagByteCount = 16
  /// From the source to the target; the only way in which batches go.
  private static let direction: [UInt8] = [1, 0, 0, 0]

  private let key: SymmetricKey

  init(_ key: BatchKey) { self.key = SymmetricKey(data: key.bytes) }

  /// The 16 bytes that seal `frame` as batch `sequence`.
  ///
  /// - Complexity: O(bytes), one pass, no copy.
  func tag(of frame: ArraySlice<UInt8>, sequence: UInt64) -> [UInt8] {
    do {
      return Array(
        try AES.GCM.seal([UInt8](), using: key, nonce: nonce(sequence), authenticating: frame).tag)
    } catch {
      preconditionFailure("AES-256-GCM takes 32 bytes of key and 12 of nonce: \(error)")
    }
  }

  /// Whether `tag` is the seal of `frame` as batch `sequence`; takes the same time for every wrong one.
  ///
  /// - Complexity: O(bytes), one pass, no copy.
  func isRight(_ tag: ArraySlice<UInt8>, for frame: ArraySlice<UInt8>, sequence: UInt64) -> Bool {
    guard
      let nonce = try? nonce(sequence),
      let box = try? AES.GCM.SealedBox(nonce: nonce, ciphertext: [UInt8](), tag: tag)
    else { return false }
    return (try? AES.GCM.open(box, using: key, authenticating: frame)) != nil
  }

  private func nonce(_ sequence: UInt64) throws -> AES.GCM.Nonce {
    try AES.GCM.Nonce(
      data: Self.direction + (0..<8).map { UInt8(truncatingIfNeeded: sequence >> UInt64(8 * $0)) })
  }
}
