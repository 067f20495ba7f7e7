package import Crypto
import CryptoExtras
package import SEVABI

/// A guest's memory encryption key (VEK) and what is done with it in ciphertext mode.
///
/// XTS-AES-128 (IEEE 1619): AES, with a tweak of the page and the place in it before and after. The tweak
/// is the page's inode and offset, where hardware has the physical address. So the same bytes look
/// different on every page, ciphertext is worthless on any other page than its own, each block of 16 bytes
/// stands alone, and a changed bit spoils its block. As in hardware nothing is authenticated.
package struct MemoryCipher: Sendable {
  private static let blockByteCount = 16
  private let dataKey: SymmetricKey
  private let tweakKey: SymmetricKey

  package init(dataKey: SymmetricKey, tweakKey: SymmetricKey) {
    self.dataKey = dataKey
    self.tweakKey = tweakKey
  }

  /// Draws a key.
  init(random: inout any RandomSource) {
    dataKey = .draw(from: &random)
    tweakKey = .draw(from: &random)
  }

  /// Encrypts part of a page in place.
  ///
  /// - Precondition: `offset` and the count are multiples of 16.
  package func encrypt(
    _ bytes: inout [UInt8], page: PageIdentity, offset: Int
  ) throws(FirmwareStatus) {
    try apply(to: &bytes, page: page, offset: offset) { blocks throws(FirmwareStatus) in
      try encryptBlocks(&blocks)
    }
  }

  /// Decrypts part of a page in place; the same precondition.
  package func decrypt(
    _ bytes: inout [UInt8], page: PageIdentity, offset: Int
  ) throws(FirmwareStatus) {
    try apply(to: &bytes, page: page, offset: offset) { blocks throws(FirmwareStatus) in
      try decryptBlocks(&blocks)
    }
  }

  private func apply(
    to bytes: inout [UInt8], page: PageIdentity, offset: Int,
    cipher: (inout [UInt8]) throws(FirmwareStatus) -> Void
  ) throws(FirmwareStatus) {
    precondition(
      offset % Self.blockByteCount == 0 && bytes.count % Self.blockByteCount == 0,
      "memory is encrypted in blocks of 16 bytes")
    guard !bytes.isEmpty else { return }
    let mask = try tweaks(page: page, firstBlock: offset / Self.blockByteCount, byteCount: bytes.count)
    combine(&bytes, with: mask)
    try cipher(&bytes)
    combine(&bytes, with: mask)
  }

  /// The tweaks of consecutive blocks: that of the page, multiplied by the generator of GF(2^128) once more
  /// from block to block.
  private func tweaks(
    page: PageIdentity, firstBlock: Int, byteCount: Int
  ) throws(FirmwareStatus) -> [UInt8] {
    var first = [UInt8](repeating: 0, count: Self.blockByteCount)
    var span = first.mutableSpan
    span.store(page.inode, at: 0)
    span.store(page.offset, at: 8)
    guard (try? AES.permute(&first, key: tweakKey)) != nil else { throw .hardwareErrorPlatform }
    var low = first.span.uint64(at: 0)
    var high = first.span.uint64(at: 8)
    func advance() {
      let carry = UInt64(bitPattern: Int64(bitPattern: high) >> 63) & 0x87
      high = high << 1 | low >> 63
      low = low << 1 ^ carry
    }
    for _ in 0..<firstBlock { advance() }
    var mask = [UInt8](repeating: 0, count: byteCount)
    var output = mask.mutableSpan
    for start in stride(from: 0, to: byteCount, by: Self.blockByteCount) {
      output.store(low, at: start)
      output.store(high, at: start + 8)
      advance()
    }
    return mask
  }

  /// AES in the encrypting direction, each block for itself.
  ///
  /// The library has no such mode for many blocks, but decryption of CFB is one: its output is each block
  /// of its input combined with the encryption of the block before.
  private func encryptBlocks(_ bytes: inout [UInt8]) throws(FirmwareStatus) {
    let zero = [UInt8](repeating: 0, count: Self.blockByteCount)
    let shifted = Array(bytes[Self.blockByteCount...]) + zero
    guard let vector = try? AES._CFB.IV(ivBytes: bytes[..<Self.blockByteCount]),
      let combined = try? AES._CFB.decrypt(shifted, using: dataKey, iv: vector)
    else { throw .hardwareErrorPlatform }
    bytes = Array(combined)
    combine(&bytes, with: shifted)
  }

  /// AES in the decrypting direction, each block for itself: CBC, but for the block before.
  private func decryptBlocks(_ bytes: inout [UInt8]) throws(FirmwareStatus) {
    let zero = [UInt8](repeating: 0, count: Self.blockByteCount)
    guard let vector = try? AES._CBC.IV(ivBytes: zero),
      let chained = try? AES._CBC.decrypt(bytes, using: dataKey, iv: vector, noPadding: true)
    else { throw .hardwareErrorPlatform }
    let before = zero + bytes[..<(bytes.count - Self.blockByteCount)]
    bytes = Array(chained)
    combine(&bytes, with: before)
  }
}

/// XORs `other` into `bytes`, which are as many.
private func combine(_ bytes: inout [UInt8], with other: [UInt8]) {
  precondition(bytes.count == other.count)
  for index in bytes.indices { bytes[index] ^= other[index] }
}
