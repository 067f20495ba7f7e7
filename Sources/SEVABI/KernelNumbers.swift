/// The ioctl numbers of the SEV interface on x86-64 (`linux/kvm.h`).
public enum SEVIoctl {
  /// `KVM_MEMORY_ENCRYPT_OP`; its argument is the address of a ``SEVCommandBlock``.
  public static let memoryEncryptOperation: UInt = 0xC008_AEBA
  /// `KVM_MEMORY_ENCRYPT_REG_REGION`; its argument is the address of an ``EncryptedRegion``.
  public static let registerRegion: UInt = 0x8010_AEBB
  /// `KVM_MEMORY_ENCRYPT_UNREG_REGION`; its argument is the address of an ``EncryptedRegion``.
  public static let unregisterRegion: UInt = 0x8010_AEBC
  /// `KVM_ENABLE_CAP` on a VM; its argument is the address of an ``EnableCapability``.
  public static let enableCapability: UInt = 0x4068_AEA3
  /// `KVM_GET_SHARED_PAGES_LIST` of the v10 live-migration series, never merged; its argument is the address of
  /// a ``SharedPagesList``. Mainline uses the number for `KVM_XEN_HVM_GET_ATTR`, of another size.
  public static let getSharedPages: UInt = 0x4018_AEC8
  /// `KVM_SET_SHARED_PAGES_LIST` of the same series.
  public static let setSharedPages: UInt = 0x4018_AEC9
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
