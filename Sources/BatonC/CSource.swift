import Baton
import BatonWire
import CBaton
import MigrationCore
import RemoteMigration

/// A `baton_source` as Swift has it. Descriptors are borrowed for the call.
struct CSource {
  let guest: CGuest
  let ram: GuestRAM
  let dirtyLog: CDirtyLog
  /// What the target's VMM compares.
  let facts: [UInt8]
  let vm: Int32?
  let regions: RegionsHandle?
  let firmware: FirmwareStanding
  let trustsModelRoot: Bool

  /// - Throws: ``Participant/Failure/unusable(_:)``, `Manifest.Problem`, or `EBADF` for a descriptor that is not open.
  init(_ pointer: UnsafePointer<baton_source>?) throws {
    guard let pointer = unsafe pointer, unsafe pointer.pointee.struct_size >= MemoryLayout<baton_source>.size
    else { throw Participant.Failure.unusable("the source is missing, or its struct_size is not set") }
    let given = unsafe pointer.pointee
    guest = unsafe try CGuest(given.guest)
    ram = unsafe try guest.mappedRAM(at: UnsafeMutableRawPointer(mutating: given.ram))
    dirtyLog = unsafe try CDirtyLog(given)
    facts = unsafe try Borrowed.bytes(
      given.facts, given.facts_size, maximum: MachineOffer.maximumFacts, "the facts")
    vm = unsafe given.vm >= 0 ? given.vm : nil
    regions = unsafe given.regions.map { unsafe RegionsHandle.at($0) }
    guard (vm == nil) == (regions == nil) else {
      throw Participant.Failure.unusable("a SEV guest has a VM and its shared pages, a plain one neither")
    }
    // A store with OVMF's code has 4 MiB.
    let variables = unsafe try Borrowed.bytes(
      given.variables, given.variables_size, maximum: 16 << 20, "the variable store")
    firmware = unsafe given.variables == nil ? .none : FirmwareStanding(variableStore: variables)
    trustsModelRoot = unsafe given.trusts_model_root != 0
  }
}
