import Baton
import BatonWire
import CBaton
import RemoteMigration
import SEVCertificates

/// A `baton_target` as Swift has it. Descriptors are borrowed for the call.
struct CTarget {
  let guest: CGuest
  let ram: GuestRAM
  let vm: Int32?
  let firmware: Int32
  let regions: RegionsHandle?
  let vendor: VendorCertificates

  /// - Throws: ``Participant/Failure/unusable(_:)``, `Manifest.Problem`, or `EBADF` for a descriptor that is not open.
  init(_ pointer: UnsafePointer<baton_target>?) throws {
    guard let pointer = unsafe pointer, unsafe pointer.pointee.struct_size >= MemoryLayout<baton_target>.size
    else { throw Participant.Failure.unusable("the target is missing, or its struct_size is not set") }
    let given = unsafe pointer.pointee
    guest = unsafe try CGuest(given.guest)
    ram = unsafe try guest.mappedRAM(at: given.ram)
    vm = unsafe given.vm >= 0 ? given.vm : nil
    firmware = unsafe given.firmware
    regions = unsafe given.regions.map { unsafe RegionsHandle.at($0) }
    guard (vm == nil) == (regions == nil), vm == nil || firmware >= 0 else {
      throw Participant.Failure.unusable(
        "a SEV guest has a VM, the firmware device and a set of shared pages, a plain one none of them")
    }
    let cek = unsafe try Borrowed.bytes(
      given.signed_cek, given.signed_cek_size, maximum: 16_384, "the signed CEK")
    let chain = unsafe try Borrowed.bytes(
      given.amd_chain, given.amd_chain_size, maximum: 16_384, "AMD's chain")
    vendor = VendorCertificates(
      signedCEK: cek.isEmpty ? nil : cek, chain: chain.isEmpty ? nil : chain)
  }
}
