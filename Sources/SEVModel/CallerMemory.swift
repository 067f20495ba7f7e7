public import SEVABI

/// A caller's process, for running requests to their end in one go.
public protocol CallerMemory {
  /// `count` bytes at `address`, or nil if any of them cannot be read (EFAULT).
  mutating func read(address: UInt64, count: Int) -> [UInt8]?
  /// Writes all bytes, or says false (EFAULT).
  mutating func write(address: UInt64, bytes: [UInt8]) -> Bool
  /// Whether every page of the range could be faulted in.
  mutating func pin(address: UInt64, count: UInt64, forWriting: Bool) -> Bool
  /// Whether the number is an open firmware device in this process.
  mutating func isFirmware(descriptor: Int32) -> Bool
  /// The VM that the number is open on in this process, or nil (EBADF).
  mutating func findMachine(descriptor: Int32) -> VirtualMachineID?
  /// The pages that hold the range, in order, or nil if any is not mapped (EFAULT).
  mutating func identifyPages(address: UInt64, count: UInt64) -> [PageIdentity]?
}

extension ModelHost {
  /// Answers a request's questions from `memory` until it is finished. No other request may be unfinished.
  ///
  /// - Returns: nil for success, else the errno.
  public mutating func run(_ step: Step, in memory: inout some CallerMemory) -> KernelError? {
    var step = step
    while true {
      switch step {
      case .finished(let outcome, undo: _):
        return outcome
      case .resume(let then), .lock(_, let then):
        step = then(&self)
      case .read(let address, let count, let then):
        step = then(&self, memory.read(address: address, count: count))
      case .write(let address, let bytes, let then):
        step = then(&self, memory.write(address: address, bytes: bytes))
      case .pin(let address, let count, let forWriting, let then):
        step = then(&self, memory.pin(address: address, count: count, forWriting: forWriting))
      case .findFirmware(let descriptor, let then):
        step = then(&self, memory.isFirmware(descriptor: descriptor))
      case .findMachine(let descriptor, let then):
        step = then(&self, memory.findMachine(descriptor: descriptor))
      case .identifyPages(let address, let count, let then):
        step = then(&self, memory.identifyPages(address: address, count: count))
      }
    }
  }
}
