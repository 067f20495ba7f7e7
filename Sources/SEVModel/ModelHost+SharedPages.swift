import SEVABI

/// KVM_GET_SHARED_PAGES_LIST and KVM_SET_SHARED_PAGES_LIST of the v10 live-migration series.
extension ModelHost {
  /// The guest pages that the v10 kernel knows as shared, in the order of its list.
  public func sharedPages(of id: VirtualMachineID) -> [Range<UInt64>] {
    machines[id]?.sharedPages.ranges ?? []
  }

  /// `KVM_GET_SHARED_PAGES_LIST` on a VM: copies the list out, then the number of its entries. ENOTTY for a kernel
  /// without it and for a VM that is no guest; EINVAL as long as the guest has not enabled migration, and for a
  /// buffer of no size; E2BIG for one that is too small.
  ///
  /// - Parameter argument: The ioctl's argument, the user address of a ``SharedPagesList``.
  public func getSharedPages(on id: VirtualMachineID, argument: UInt64, caller: Caller) -> Step {
    readSharedPagesList(on: id, argument: argument, caller: caller) { host, machine, list in
      guard machine.isLiveMigrationEnabled, list.size > 0 else { return .finished(.invalidArgument) }
      let ranges = machine.sharedPages.ranges
      guard !ranges.isEmpty else { return host.writeCount(0, to: list) }
      guard ranges.count * SharedPagesList.entryByteCount <= Int(list.size) else { return .finished(.tooBig) }
      return host.writeEntries(ranges[...], to: list, count: UInt32(ranges.count))
    }
  }

  /// Copies entries out, as many at a time as one record holds.
  private func writeEntries(
    _ ranges: ArraySlice<Range<UInt64>>, to list: SharedPagesList, count: UInt32
  ) -> Step {
    guard !ranges.isEmpty else { return writeCount(count, to: list) }
    let part = ranges.prefix(Int(Self.chunkByteCount) / SharedPagesList.entryByteCount)
    let address = list.bufferAddress &+ UInt64(ranges.startIndex * SharedPagesList.entryByteCount)
    return .write(address: address, bytes: SharedPagesList.encode(part)) { host, written in
      written
        ? host.writeEntries(ranges.dropFirst(part.count), to: list, count: count) : .finished(.badAddress)
    }
  }

  private func writeCount(_ count: UInt32, to list: SharedPagesList) -> Step {
    .write(address: list.countAddress, bytes: littleEndianBytes(count)) { _, written in
      .finished(written ? nil : .badAddress)
    }
  }

  /// `KVM_SET_SHARED_PAGES_LIST` on a VM: appends entries, or empties the list if there is no buffer or no entry.
  ///
  /// - Parameter argument: As for ``getSharedPages(on:argument:caller:)``.
  public func setSharedPages(on id: VirtualMachineID, argument: UInt64, caller: Caller) -> Step {
    readSharedPagesList(on: id, argument: argument, caller: caller) { _, _, list in
      .read(address: list.countAddress, count: 4) { host, bytes in
        guard let bytes else { return .finished(.badAddress) }
        let count = Int(bytes.span.uint32(at: 0))
        guard list.bufferAddress != 0, count > 0 else {
          host.machines[id]?.sharedPages = SharedPageRanges()
          return .finished(nil)
        }
        guard count * SharedPagesList.entryByteCount <= Int(Self.allocationByteCount) else {
          return .finished(.outOfMemory)
        }
        return host.readEntries(for: id, from: list.bufferAddress, count: count, read: [])
      }
    }
  }

  private func readEntries(
    for id: VirtualMachineID, from address: UInt64, count: Int, read: [Range<UInt64>]
  ) -> Step {
    let entryByteCount = SharedPagesList.entryByteCount
    let part = min(count - read.count, Int(Self.chunkByteCount) / entryByteCount)
    return .read(address: address, count: part * entryByteCount) { host, bytes in
      guard let bytes else { return .finished(.badAddress) }
      var entries = read
      for index in 0..<part {
        let first = bytes.span.uint64(at: index * entryByteCount)
        let end = bytes.span.uint64(at: index * entryByteCount + 8)
        guard first <= end else { return .finished(.invalidArgument) }
        entries.append(first..<end)
      }
      guard entries.count == count else {
        return host.readEntries(
          for: id, from: address &+ UInt64(part * entryByteCount), count: count, read: entries)
      }
      host.machines[id]?.sharedPages.append(contentsOf: entries)
      return .finished(nil)
    }
  }

  private func readSharedPagesList(
    on id: VirtualMachineID, argument: UInt64, caller: Caller,
    then: @escaping @Sendable (inout ModelHost, VirtualMachine, SharedPagesList) -> Step
  ) -> Step {
    guard usable(id, by: caller) != nil else { return .finished(.inputOutput) }
    guard configuration.profile.keepsSharedPages else { return .finished(.notSupported) }
    return .read(address: argument, count: SharedPagesList.byteCount) { host, bytes in
      guard let bytes, let list = SharedPagesList(bytes: bytes) else { return .finished(.badAddress) }
      guard let machine = host.machines[id], machine.isActive else { return .finished(.notSupported) }
      return then(&host, machine, list)
    }
  }
}
