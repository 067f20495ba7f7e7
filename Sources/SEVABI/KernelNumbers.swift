/// The ioctl numbers of the SEV interface on x86-64 (`linux/kvm.h`).
public enum SEVIoctl {
  /// `KVM_MEMORY_ENCRYPT_OP`; its argument is the address of a ``SEVCommandBlock``.
  public static let memoryEncryptOperation: UInt = 0xC008_AEBA
  /// `KVM_MEMORY_ENCRYPT_REG_REGION`; its argument is the address of an ``EncryptedRegion``.
  public static let registerRegion: UInt = 0x8010_AEBB
  /// `KVM_MEMORY_ENCRYPT_UNREG_REGION`; its argument is the address of an ``EncryptedRegion``.
  public static let unregisterRegion: UInt = 0x8010_AEBC
}

/// Limits that the kernel and the firmware put on arguments.
public enum SEVLimit {
  /// Bytes in one page, the unit of pinning.
  public static let pageByteCount: UInt64 = 4096
  /// The most bytes of a certificate, session or measurement buffer that the driver passes on.
  public static let blobByteCount: UInt32 = 0x4000
  /// Handles run from 1 to this number; 0 is no guest.
  public static let handle: UInt32 = 1024
}
