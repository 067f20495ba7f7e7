/// The layout of `struct kvm_sev_local_send` of the June 2021 patches (version 1), 8 bytes, all out.
///
/// Only the layout: the token itself is an ``InfoToken``, which no `KernelStructure` may hold, because
/// those can be copied, compared and printed.
public enum LocalSendParameters {
  public static let byteCount = 8
  public static let tokenOffset = 0
}

/// The layout of `struct kvm_sev_local_receive` of the June 2021 patches (version 1), 16 bytes copied in and
/// out.
public enum LocalReceiveParameters {
  public static let byteCount = 16
  /// In: the token.
  public static let tokenOffset = 0
  /// Out: the guest's handle, 4 bytes; 4 bytes of padding follow.
  public static let handleOffset = 8
}
