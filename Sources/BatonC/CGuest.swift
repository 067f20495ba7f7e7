import Baton
import BatonWire
import CBaton
import LinuxOS
import RemoteMigration

/// A `baton_guest` as Swift has it. Descriptors are borrowed for the call.
struct CGuest {
  let manifest: Manifest
  let ram: [Int32]
  let named: [Int32]
  let vm: Int32?
  let takeBackVM: Int32?

  /// - Throws: ``Participant/Failure/unusable(_:)``, `Manifest.Problem`, or `EBADF` for a descriptor that is not open.
  init(_ pointer: UnsafePointer<baton_guest>?) throws {
    guard let pointer = unsafe pointer, unsafe pointer.pointee.struct_size >= MemoryLayout<baton_guest>.size
    else {
      throw Participant.Failure.unusable("the guest is missing, or its struct_size is not set")
    }
    let guest = unsafe pointer.pointee
    guard let way = unsafe UInt8(exactly: guest.way).flatMap(Way.init(rawValue:)),
      let vcpuCount = unsafe UInt16(exactly: guest.vcpu_count)
    else { throw Participant.Failure.unusable("the guest's way or number of vCPUs makes no sense") }
    ram = unsafe try Borrowed.list(guest.ram, guest.ram_count, maximum: Manifest.maximumFiles, "RAM files")
    named = unsafe try Borrowed.list(
      guest.named, guest.named_count, maximum: Manifest.maximumNamedDescriptors, "named descriptors")
    let regions = unsafe try Borrowed.list(
      guest.regions, guest.region_count, maximum: Manifest.maximumRegions, "RAM regions")
    let names = unsafe try Borrowed.list(
      guest.names, guest.named_count, maximum: Manifest.maximumNamedDescriptors, "names")
    vm = unsafe guest.vm >= 0 ? guest.vm : nil
    takeBackVM = unsafe guest.take_back_vm >= 0 ? guest.take_back_vm : nil
    guard takeBackVM == nil || way == .move else {
      throw Participant.Failure.unusable("only with way move a VM to take back into comes along")
    }
    let format = unsafe StateFormat(
      name: try Borrowed.text(guest.format_name, maximum: 64, "the name of the state's format"),
      version: guest.format_version, features: guest.format_features)
    manifest = Manifest(
      way: way, vcpuCount: vcpuCount,
      files: try ram.map { number in
        let identity = try FileIdentity(ofBorrowed: number)
        return RAMFile(device: identity.device, inode: identity.inode, byteCount: identity.byteCount)
      },
      regions: try regions.map { region in
        guard let file = UInt16(exactly: region.file) else {
          throw Participant.Failure.unusable("a RAM region names a file that is not there")
        }
        return RAMRegion(
          guestPhysicalAddress: region.guest_physical_address, byteCount: region.byte_count, file: file,
          fileOffset: region.file_offset)
      },
      hasVM: vm != nil,
      names: try unsafe names.map {
        unsafe try Borrowed.text($0, maximum: 128, "the name of a descriptor")
      },
      format: format,
      details: unsafe try Borrowed.bytes(
        guest.details, Int(guest.details_size), maximum: 16_384, "the details"))
    try manifest.validate()
    // A number that is not open is an error here, not in the middle of an offer.
    for number in named + [vm, takeBackVM].compactMap({ $0 }) { _ = try FileIdentity(ofBorrowed: number) }
  }
}

extension CGuest {
  /// RAM of a guest that migrates, where the VMM has it mapped.
  ///
  /// SAFETY: the caller's to promise: all of it is mapped there until the migration is over.
  func mappedRAM(at address: UnsafeMutableRawPointer?) throws -> GuestRAM {
    guard manifest.files.count == 1, let size = manifest.files.first?.byteCount,
      let count = Int(exactly: size)
    else { throw Participant.Failure.unusable("a guest that migrates has one RAM file") }
    guard let address = unsafe address, UInt(bitPattern: address) % UInt(GuestRAM.pageByteCount) == 0 else {
      throw Participant.Failure.unusable("RAM's address is missing, or not that of a page")
    }
    let mapping = unsafe SharedMapping(lent: address, byteCount: count)
    guard let ram = GuestRAM(mapping, regions: manifest.regions) else {
      throw Participant.Failure.unusable("the RAM regions leave gaps in the file, or are not whole pages")
    }
    return ram
  }
}

extension OwnedDescriptor {
  /// A second descriptor of one that is borrowed.
  static func duplicate(of number: Int32) throws(SystemError) -> OwnedDescriptor {
    var list = try DescriptorList(duplicating: [number])
    guard let descriptor = list.popFirst() else { preconditionFailure("one was duplicated") }
    return descriptor
  }
}
