import CBaton
import EncryptionStatus
import Glibc
import Synchronization

// Which pages a guest shares with its host.

/// What a `baton_regions` pointer points to.
final class RegionsHandle {
  private let status: Mutex<MemoryEncryptionStatus>

  init(_ status: MemoryEncryptionStatus) { self.status = Mutex(status) }

  /// What the guest has said so far.
  var now: MemoryEncryptionStatus { status.withLock { $0 } }

  /// Takes over what a source sent of its guest.
  func load(_ regions: SharedRegions) throws(SharedRegionsError) {
    try status.withLock { (status) throws(SharedRegionsError) in try status.loadRegions(regions.encoded()) }
  }

  /// SAFETY: the pointer came from `baton_regions_new` and was not freed, as baton.h asks of the caller.
  static func at(_ pointer: OpaquePointer) -> RegionsHandle {
    unsafe Unmanaged<RegionsHandle>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
  }

  /// One call of C: its result, or the errno of what it threw.
  static func call(
    _ pointer: OpaquePointer?, _ body: (inout MemoryEncryptionStatus) throws -> Int64
  ) -> Int64 {
    guard let pointer = unsafe pointer else { return -Int64(EINVAL) }
    do {
      return try unsafe at(pointer).status.withLock { try body(&$0) }
    } catch is NoRoom {
      return -Int64(ENOBUFS)
    } catch {
      return -Int64(EINVAL)
    }
  }

  static func callInt(
    _ pointer: OpaquePointer?, _ body: (inout MemoryEncryptionStatus) throws -> Int32
  ) -> Int32 {
    Int32(unsafe call(pointer) { Int64(try body(&$0)) })
  }
}

@c @implementation
public func baton_regions_new(
  _ isEncrypted: Int32, _ isOffered: Int32, _ regions: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  guard let regions = unsafe regions else { return -EINVAL }
  let handle = RegionsHandle(MemoryEncryptionStatus(isEncrypted: isEncrypted != 0, isOffered: isOffered != 0))
  unsafe regions.pointee = OpaquePointer(Unmanaged.passRetained(handle).toOpaque())
  return 0
}

@c @implementation
public func baton_regions_free(_ regions: OpaquePointer?) {
  guard let regions = unsafe regions else { return }
  unsafe Unmanaged<RegionsHandle>.fromOpaque(UnsafeRawPointer(regions)).release()
}

@c @implementation
public func baton_regions_reset(_ regions: OpaquePointer?) -> Int32 {
  unsafe RegionsHandle.callInt(regions) {
    $0.guestWasReset()
    return 0
  }
}

@c @implementation
public func baton_regions_hypercall(
  _ regions: OpaquePointer?, _ number: UInt64, _ arguments: UnsafePointer<UInt64>?,
  _ result: UnsafeMutablePointer<Int64>?
) -> Int32 {
  unsafe RegionsHandle.callInt(regions) { status in
    guard let arguments = unsafe arguments, let result = unsafe result else { return -EINVAL }
    let given = unsafe [UInt64](UnsafeBufferPointer(start: arguments, count: 3))
    unsafe result.pointee = status.hypercall(HypercallExit(number: number, arguments: given))
    return 0
  }
}

@c @implementation
public func baton_regions_read_msr(
  _ regions: OpaquePointer?, _ index: UInt32, _ value: UnsafeMutablePointer<UInt64>?
) -> Int32 {
  unsafe RegionsHandle.callInt(regions) { status in
    guard let value = unsafe value else { return -EINVAL }
    guard let read = status.readMSR(index) else { return -ENOENT }
    unsafe value.pointee = read
    return 0
  }
}

@c @implementation
public func baton_regions_write_msr(_ regions: OpaquePointer?, _ index: UInt32, _ value: UInt64) -> Int32 {
  unsafe RegionsHandle.callInt(regions) { $0.writeMSR(index, value) ? 0 : -ENOENT }
}

/// The same as the hypercall does.
private func change(
  _ regions: OpaquePointer?, _ first: UInt64, _ count: UInt64, isEncrypted: Bool
) -> Int32 {
  unsafe RegionsHandle.callInt(regions) { status in
    let (end, overflows) = first.addingReportingOverflow(count)
    guard !overflows, end <= SharedRegions.frameLimit else { return -EINVAL }
    return status.mark(first..<end, encrypted: isEncrypted) ? 0 : -ENOSPC
  }
}

@c @implementation
public func baton_regions_set_shared(_ regions: OpaquePointer?, _ first: UInt64, _ count: UInt64) -> Int32 {
  unsafe change(regions, first, count, isEncrypted: false)
}

@c @implementation
public func baton_regions_set_private(_ regions: OpaquePointer?, _ first: UInt64, _ count: UInt64) -> Int32 {
  unsafe change(regions, first, count, isEncrypted: true)
}

@c @implementation
public func baton_regions_is_shared(_ regions: OpaquePointer?, _ frame: UInt64) -> Int32 {
  unsafe RegionsHandle.callInt(regions) { $0.regions.contains(frame) ? 1 : 0 }
}

@c @implementation
public func baton_regions_kind(
  _ regions: OpaquePointer?, _ frame: UInt64, _ end: UnsafeMutablePointer<UInt64>?
) -> Int32 {
  unsafe RegionsHandle.callInt(regions) { status in
    let run = status.isEncrypted ? status.regions.run(at: frame) : (isShared: true, end: UInt64.max)
    if let end = unsafe end { unsafe end.pointee = run.end }
    return Int32(run.isShared ? BATON_PAGE_PLAIN : BATON_PAGE_ENCRYPTED)
  }
}

@c @implementation
public func baton_regions_may_migrate(_ regions: OpaquePointer?) -> Int32 {
  unsafe RegionsHandle.callInt(regions) { $0.isComplete && $0.control.isReady ? 0 : -EAGAIN }
}

@c @implementation
public func baton_regions_save(
  _ regions: OpaquePointer?, _ bytes: UnsafeMutableRawPointer?, _ size: Int
) -> Int64 {
  unsafe RegionsHandle.call(regions) { status in
    unsafe try Borrowed.copy(status.encoded()[...], to: bytes, size: size)
  }
}

@c @implementation
public func baton_regions_load(
  _ regions: OpaquePointer?, _ bytes: UnsafeRawPointer?, _ size: Int
) -> Int32 {
  unsafe RegionsHandle.callInt(regions) { status in
    let given = unsafe try Borrowed.bytes(bytes, size, maximum: 2 << 20, "the saved regions")
    guard let loaded = try? MemoryEncryptionStatus(decoding: given) else { return -EBADMSG }
    status = loaded
    return 0
  }
}
