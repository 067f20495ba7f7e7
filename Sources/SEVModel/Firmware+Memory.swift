package import SEVABI

/// What the memory controller does with a guest's pages in ciphertext mode.
extension Firmware {
  /// Encrypts part of one page in place.
  ///
  /// - Precondition: `offset` and the count are multiples of 16.
  package func encryptMemory(
    of handle: UInt32, page: PageIdentity, offset: Int, _ bytes: inout [UInt8]
  ) throws(FirmwareStatus) {
    try guest(handle).memory.encrypt(&bytes, page: page, offset: offset)
  }

  /// Decrypts part of one page in place; the same precondition.
  package func decryptMemory(
    of handle: UInt32, page: PageIdentity, offset: Int, _ bytes: inout [UInt8]
  ) throws(FirmwareStatus) {
    try guest(handle).memory.decrypt(&bytes, page: page, offset: offset)
  }
}
