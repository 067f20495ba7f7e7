import BatonWire
import LinuxOS
import RemoteMigration
import Synchronization

/// RAM for a guest that is to come, every page of it present before the first one is received.
///
/// A page that is written for the first time costs the kernel, and below a virtual machine the hypervisor, several
/// times as long as its copy does. So the pages are made by a thread of their own while the guest is waited for, and
/// how long a migration takes does not depend on whose memory it was before.
final class IncomingMemory {
  let ram: OwnedDescriptor
  let mapping: SharedMapping
  private let maker: Maker
  private let thread: OSThread

  private final class Maker: Sendable {
    private let mapping: SharedMapping
    private let isUnwanted = Atomic<Bool>(false)
    private let failure = Mutex<SystemError?>(nil)

    init(_ mapping: SharedMapping) { self.mapping = mapping }

    func run() {
      do throws(SystemError) {
        try mapping.populate(pieces: IncomingMemory.madeAtOnce) { _ in !isUnwanted.load(ordering: .relaxed) }
      } catch {
        failure.withLock { $0 = error }
      }
    }

    func stop() { isUnwanted.store(true, ordering: .relaxed) }

    var whyNot: SystemError? { failure.withLock { $0 } }
  }

  /// Begins to make the pages.
  ///
  /// - Throws: `noRoom` when this host has not so much memory to give: the kernel would end another process for it,
  ///   which may be another guest.
  init(_ options: VMMOptions) throws(MigrationFailure) {
    let wanted = options.configuration.ramBytes
    // A host that hides how much it has is believed to have it; huge pages are set aside when they are mapped.
    if options.pages == .base, let available = try? AvailableMemory.byteCount(), available < UInt64(wanted) {
      throw .noRoom("it needs \(wanted >> 20) MiB of memory, \(available >> 20) MiB are available")
    }
    do throws(SystemError) {
      ram = try GuestInstance.freshRAM(options)
      mapping = try SharedMapping(ram, byteCount: wanted)
      maker = Maker(mapping)
      thread = try OSThread(name: "memory") { [maker] in maker.run() }
    } catch {
      throw .noRoom("\(error)")
    }
  }

  deinit { maker.stop() }

  /// Waits until all pages are there.
  ///
  /// - Throws: `noRoom` when not all of them could be had.
  func finish() throws(MigrationFailure) {
    thread.join()
    if let failure = maker.whyNot { throw .noRoom("\(failure)") }
  }

  /// Some 50 ms of work, after which is looked whether it is still wanted; in bytes.
  private static let madeAtOnce = 64 << 20
}
