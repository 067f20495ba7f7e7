public import RemoteMigration

/// A guest's vCPUs and devices in this process.
///
/// A machine is made before it is needed: with a freshly loaded guest, or waiting as the successor
/// of one that runs elsewhere. Threads exist from the creation on and are parked, so that nothing is
/// created between the freeze on one side and the run on the other. All calls come from one control
/// thread at a time; ``report()`` may come from any.
///
/// Creating, restoring and stopping write no guest RAM. Only ``start()``, ``resume()`` and ``run()``
/// let vCPUs execute, and none of them asks anyone for permission: the verdict is the caller's duty.
public protocol Machine: AnyObject, Sendable {
  var kind: MachineKind { get }
  var configuration: MachineConfiguration { get }
  var phase: MachinePhase { get }

  /// Runs a freshly loaded guest from its first instruction.
  func start() throws(MachineError)

  /// Brings every vCPU out of the guest, finishes pending output and returns when the last one
  /// executed its last instruction (`CLOCK_MONOTONIC` nanoseconds). On a machine that does not run
  /// it returns the same stamp again.
  ///
  /// - Complexity: microseconds with software vCPUs; no allocation.
  @discardableResult
  func stop() -> UInt64

  /// Goes on in place after ``stop()``.
  func resume() throws(MachineError)

  /// The state of vCPUs and devices of a stopped machine, self-describing and little-endian.
  ///
  /// - Parameter format: The format to write; one that the successor reads.
  /// - Throws: ``MachineStateError/cannotExpress(format:what:)`` when an older format has no place
  ///   for something that this guest has right now.
  func saveState(format: UInt16) throws(MachineError) -> [UInt8]

  /// Takes the state of a guest that was stopped elsewhere (or in another machine of this process).
  ///
  /// Everything is validated first; a refusal leaves the machine as it was. No guest RAM is written.
  func restore(_ state: [UInt8]) throws(MachineError)

  /// Runs the restored guest. Call it only with the verdict `run`.
  func run() throws(MachineError)

  /// When the first vCPU executed its first instruction after the latest ``start()``, ``resume()``
  /// or ``run()`` (`CLOCK_MONOTONIC` nanoseconds), or nil before that.
  var firstInstruction: UInt64? { get }

  /// Waits for ``firstInstruction``; nil when the time ran out.
  func waitForFirstInstruction(timeoutNanoseconds: UInt64) -> UInt64?

  /// The pause as the guest felt it: nanoseconds on its own clock from its last iteration before the
  /// latest ``resume()`` or ``run()`` to its first one after it, the longest of its vCPUs. Nil before
  /// ``waitForFirstInstruction(timeoutNanoseconds:)`` has seen that iteration.
  var feltPauseNanoseconds: UInt64? { get }

  /// Why a vCPU cannot go on, when one cannot; its thread waits to be stopped.
  var failure: MachineError? { get }

  /// What the operator should know about the guest's time on this host; empty when all is well.
  var remarks: [String] { get }

  /// Begins to note which pages of guest RAM are written, from now on, for a migration to another host.
  ///
  /// - Complexity: Software vCPUs stand still for some microseconds; KVM writes to every page again.
  func startDirtyLog() throws(MachineError)

  /// Adds the pages that were written since the last call to `pages`, by their place in RAM, and forgets them here.
  ///
  /// A page that is being written just now is in this call or in the next one; after ``stop()`` nothing is missing.
  func takeDirtyPages(into pages: inout PageBitmap) throws(MachineError)

  /// Notes nothing any more.
  func stopDirtyLog()

  /// What the guest says about itself, from its RAM.
  func report() throws(MachineError) -> GuestReport

  /// Stops the vCPUs and ends the threads. Later calls do nothing.
  func end()
}

extension Machine {
  /// The state in the current format.
  public func saveState() throws(MachineError) -> [UInt8] {
    try saveState(format: MachineStateFormat.current)
  }
}
