extension Firmware {
  /// Lengths of the firmware's blobs in bytes. A buffer that is too small is INVALID_LENGTH, with which,
  /// and with no other failure, the firmware also reports the length that it needs.
  package enum Length {
    package static let session: UInt32 = 128
    package static let packetHeader: UInt32 = 52
    package static let measurement: UInt32 = 48
    package static let attestationReport: UInt32 = 208
    package static let certificate: UInt32 = 2084
    /// PEK, OCA and CEK.
    package static let certificateChain: UInt32 = 6252
    /// What GET_ID needs: 64 bytes for each of two sockets.
    package static let platformIdentifier: UInt32 = 128
    /// A page of registers (VMSA).
    package static let registers: UInt32 = 4096
    /// The most that one packet carries.
    package static let largestPacket: UInt32 = 0x5000
  }

  /// Memory is encrypted in blocks of so many bytes, to which addresses and lengths must be aligned.
  static let blockByteCount: UInt32 = 16
}
