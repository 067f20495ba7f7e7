import CLinux
import Glibc
public import LinuxOS
import SEVABI

/// Private guest memory as a software vCPU sees it. Without ciphertext mode it is what is in memory, and no
/// record is sent.
///
/// Real vCPUs cannot run in ciphertext mode: there is no hardware that would decrypt for them.
extension SEVSession {
  /// Cipher blocks: a smaller piece cannot be encrypted by itself.
  private static let blockByteCount = 16
  private static let pageByteCount = 4096
  /// Bytes of guest memory that fit in one record with one piece for each page that they touch.
  private static let chunkByteCount = 6 * pageByteCount

  /// Whether private memory is really encrypted.
  public mutating func isCiphertext() throws(SEVError) -> Bool {
    try describeModel()?.isCiphertext ?? false
  }

  /// Reads private guest memory.
  ///
  /// - Parameters:
  ///   - machine: A VM of this process whose guest has the memory.
  ///   - offset: From the start of `memory`, in bytes, of any alignment.
  /// - Throws: EIO if the VM belongs to another address space, was moved away, or has no key; EFAULT if the
  ///   memory is not mapped; ENOTTY with the kernel, where only the guest itself can.
  public mutating func readGuest(
    _ machine: borrowing OwnedDescriptor, _ memory: GuestMemory, offset: Int, byteCount: Int
  ) throws(SEVError) -> [UInt8] {
    precondition(
      offset >= 0 && byteCount >= 0 && offset <= memory.byteCount - byteCount, "access outside of the memory")
    guard try needsModel() else { return try copyIn(memory, offset, byteCount) }
    var plaintext: [UInt8] = []
    plaintext.reserveCapacity(byteCount)
    var at = offset
    while at < offset + byteCount {
      let end = min(offset + byteCount, chunkEnd(of: at))
      let first = at / Self.blockByteCount * Self.blockByteCount
      let blocks = try readBlocks(machine, memory, first..<Self.roundedUp(end))
      plaintext.append(contentsOf: blocks[(at - first)..<(end - first)])
      at = end
    }
    return plaintext
  }

  /// Writes private guest memory.
  ///
  /// - Parameters: as for ``readGuest(_:_:offset:byteCount:)``.
  /// - Throws: as for reading.
  public mutating func writeGuest(
    _ machine: borrowing OwnedDescriptor, _ memory: GuestMemory, offset: Int, bytes: [UInt8]
  ) throws(SEVError) {
    precondition(
      offset >= 0 && offset <= memory.byteCount - bytes.count, "access outside of the memory")
    guard try needsModel() else { return try copyOut(bytes, memory, offset) }
    var at = offset
    while at < offset + bytes.count {
      let end = min(offset + bytes.count, chunkEnd(of: at))
      let first = at / Self.blockByteCount * Self.blockByteCount
      let range = first..<Self.roundedUp(end)
      let new = bytes[(at - offset)..<(end - offset)]
      var plaintext: [UInt8]
      if range == at..<end {
        plaintext = Array(new)
      } else {
        plaintext = try readBlocks(machine, memory, range)
        plaintext.replaceSubrange((at - first)..<(end - first), with: new)
      }
      let stored = try access(writing: true, machine, memory, range, plaintext)
      try copyOut(stored, memory, range.lowerBound)
      at = end
    }
  }

  private mutating func needsModel() throws(SEVError) -> Bool {
    guard let description = try describeModel() else { throw SEVError(.guestMemory, code: ENOTTY) }
    return description.isCiphertext
  }

  private func chunkEnd(of offset: Int) -> Int {
    (offset / Self.chunkByteCount + 1) * Self.chunkByteCount
  }

  private static func roundedUp(_ offset: Int) -> Int {
    (offset + blockByteCount - 1) / blockByteCount * blockByteCount
  }

  private func readBlocks(
    _ machine: borrowing OwnedDescriptor, _ memory: GuestMemory, _ range: Range<Int>
  ) throws(SEVError) -> [UInt8] {
    let stored = try copyIn(memory, range.lowerBound, range.count)
    return try access(writing: false, machine, memory, range, stored)
  }

  /// Has the model encrypt or decrypt whole blocks, one piece for each page.
  private func access(
    writing: Bool, _ machine: borrowing OwnedDescriptor, _ memory: GuestMemory, _ range: Range<Int>,
    _ bytes: [UInt8]
  ) throws(SEVError) -> [UInt8] {
    var payload: [UInt8] = []
    var pieces: UInt64 = 0
    var at = range.lowerBound
    while at < range.upperBound {
      let page = at / Self.pageByteCount * Self.pageByteCount
      let end = min(range.upperBound, page + Self.pageByteCount)
      var header = [UInt8](repeating: 0, count: ModelWire.Piece.bytes)
      var span = header.mutableSpan
      span.store(memory.inode, at: ModelWire.Piece.inode)
      span.store(UInt64(page), at: ModelWire.Piece.pageOffset)
      span.store(UInt32(at - page), at: ModelWire.Piece.offset)
      span.store(UInt32(end - at), at: ModelWire.Piece.count)
      payload.append(contentsOf: header)
      payload.append(contentsOf: bytes[(at - range.lowerBound)..<(end - range.lowerBound)])
      pieces += 1
      at = end
    }
    let result = try call(
      .guestAccess, on: machine.number, arguments: [writing ? 1 : 0, pieces], payload: payload,
      for: .guestMemory)
    guard result.payload.count == range.count else { throw SEVError(.guestMemory, code: EPROTO) }
    return result.payload
  }

  private func copyIn(
    _ memory: GuestMemory, _ offset: Int, _ byteCount: Int
  ) throws(SEVError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let status = unsafe bytes.withUnsafeMutableBytes {
      // SAFETY: the buffer has as many bytes; an address that is not mapped gives EFAULT.
      unsafe sev_copy_in(UInt64(memory.address) + UInt64(offset), $0.baseAddress, byteCount)
    }
    guard status == 0 else { throw SEVError(.guestMemory, code: -status) }
    return bytes
  }

  private func copyOut(
    _ bytes: [UInt8], _ memory: GuestMemory, _ offset: Int
  ) throws(SEVError) {
    let status = unsafe bytes.withUnsafeBytes {
      // SAFETY: as above.
      unsafe sev_copy_out(UInt64(memory.address) + UInt64(offset), $0.baseAddress, $0.count)
    }
    guard status == 0 else { throw SEVError(.guestMemory, code: -status) }
  }
}
