public import SEVABI

/// Private memory of a guest as the firmware sees it: plain where the model leaves it readable, else through the
/// memory cipher.
extension ModelHost {
  /// The whole cipher blocks that hold a range.
  struct BlockRange {
    static let blockByteCount: UInt64 = 16

    let address: UInt64
    let count: Int
    /// Where the range is in them.
    let inner: Range<Int>

    init(address: UInt64, count: UInt64) {
      let lead = address % Self.blockByteCount
      let whole = (lead + count + Self.blockByteCount - 1) / Self.blockByteCount * Self.blockByteCount
      self.address = address - lead
      self.count = Int(whole)
      inner = Int(lead)..<Int(lead + count)
    }
  }

  /// Reads guest memory and decrypts it, or ends the command with EFAULT.
  func readGuestMemory(
    _ command: Command, handle: UInt32, address: UInt64, count: UInt64,
    then: @escaping @Sendable (inout ModelHost, [UInt8]) -> Step
  ) -> Step {
    guard configuration.ciphertext else {
      return .read(address: address, count: Int(count)) { host, bytes in
        guard let bytes else { return host.finish(command, .badAddress) }
        return then(&host, bytes)
      }
    }
    let blocks = BlockRange(address: address, count: count)
    return .identifyPages(address: blocks.address, count: UInt64(blocks.count)) { host, pages in
      guard let pages else { return host.finish(command, .badAddress) }
      return .read(address: blocks.address, count: blocks.count) { host, bytes in
        guard var bytes else { return host.finish(command, .badAddress) }
        host.translate(&bytes, at: blocks.address, in: pages, .decrypt, handle: handle)
        return then(&host, Array(bytes[blocks.inner]))
      }
    }
  }

  /// Encrypts bytes and writes them to guest memory, or ends the command with EFAULT. What shares a cipher block
  /// with them is kept.
  func writeGuestMemory(
    _ command: Command, handle: UInt32, address: UInt64, bytes: [UInt8],
    then: @escaping @Sendable (inout ModelHost) -> Step
  ) -> Step {
    let blocks = BlockRange(address: address, count: UInt64(bytes.count))
    guard configuration.ciphertext else {
      return writeMemory(command, address: address, bytes: bytes, then: then)
    }
    return .identifyPages(address: blocks.address, count: UInt64(blocks.count)) { host, pages in
      guard let pages else { return host.finish(command, .badAddress) }
      guard blocks.inner.count < blocks.count else {
        var ciphertext = bytes
        host.translate(&ciphertext, at: blocks.address, in: pages, .encrypt, handle: handle)
        return host.writeMemory(command, address: address, bytes: ciphertext, then: then)
      }
      return .read(address: blocks.address, count: blocks.count) { host, old in
        guard var whole = old else { return host.finish(command, .badAddress) }
        host.translate(&whole, at: blocks.address, in: pages, .decrypt, handle: handle)
        whole.replaceSubrange(blocks.inner, with: bytes)
        host.translate(&whole, at: blocks.address, in: pages, .encrypt, handle: handle)
        return host.writeMemory(command, address: blocks.address, bytes: whole, then: then)
      }
    }
  }

  private func writeMemory(
    _ command: Command, address: UInt64, bytes: [UInt8],
    then: @escaping @Sendable (inout ModelHost) -> Step
  ) -> Step {
    .write(address: address, bytes: bytes) { host, written in
      written ? then(&host) : host.finish(command, .badAddress)
    }
  }

  // MARK: The memory cipher

  enum Translation {
    case encrypt, decrypt
  }

  /// Runs the memory cipher over bytes at a user address, page by page. `pages` are those that hold them.
  ///
  /// A handle that the firmware does not know leaves the bytes as they are: the command that they are for is
  /// then refused by the firmware itself, with the status that comes first there.
  func translate(
    _ bytes: inout [UInt8], at address: UInt64, in pages: [PageIdentity], _ translation: Translation,
    handle: UInt32
  ) {
    var offset = 0
    for page in pages {
      let inPage = Int((address + UInt64(offset)) % SEVLimit.pageByteCount)
      let end = min(bytes.count, offset + Int(SEVLimit.pageByteCount) - inPage)
      var part = Array(bytes[offset..<end])
      do throws(FirmwareStatus) {
        switch translation {
        case .encrypt: try firmware.encryptMemory(of: handle, page: page, offset: inPage, &part)
        case .decrypt: try firmware.decryptMemory(of: handle, page: page, offset: inPage, &part)
        }
      } catch {
        return
      }
      bytes.replaceSubrange(offset..<end, with: part)
      offset = end
    }
  }

  // MARK: Accesses of vCPUs

  /// How a software vCPU accesses private memory.
  public enum GuestAccess: Hashable, Sendable {
    case read, write
  }

  /// What a software vCPU's access to a part of one private page means where memory is encrypted.
  ///
  /// The key is that of the guest that is bound to the VM's ASID, as in hardware; so a source whose context was
  /// sent away still reads until the key is gone.
  ///
  /// - Parameters:
  ///   - offset: Where in the page, a multiple of 16.
  ///   - bytes: For a read what memory holds, for a write what the guest writes. A multiple of 16 long, inside
  ///     the page.
  /// - Returns: For a read what the guest sees, for a write what memory must hold.
  /// - Throws: EIO for a VM that is dead or another process's, or whose ASID no guest is bound to; EINVAL for a
  ///   range that is not of whole blocks inside a page.
  public func guestAccess(
    _ access: GuestAccess, on id: VirtualMachineID, page: PageIdentity, offset: Int, bytes: [UInt8],
    caller: Caller
  ) throws(KernelError) -> [UInt8] {
    guard let machine = usable(id, by: caller) else { throw .inputOutput }
    let block = Int(BlockRange.blockByteCount)
    guard offset >= 0, offset % block == 0, bytes.count % block == 0,
      offset <= Int(SEVLimit.pageByteCount), bytes.count <= Int(SEVLimit.pageByteCount) - offset
    else { throw .invalidArgument }
    guard configuration.ciphertext else { return bytes }
    guard machine.isActive, let handle = firmware.handle(boundTo: machine.asid) else { throw .inputOutput }
    var bytes = bytes
    do throws(FirmwareStatus) {
      switch access {
      case .read: try firmware.decryptMemory(of: handle, page: page, offset: offset, &bytes)
      case .write: try firmware.encryptMemory(of: handle, page: page, offset: offset, &bytes)
      }
    } catch {
      throw .inputOutput
    }
    return bytes
  }
}
