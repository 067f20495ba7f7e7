/// Why saved machine state cannot be used.
public enum MachineStateError: Error, Hashable, Sendable, CustomStringConvertible {
  case truncated(needed: Int, available: Int)
  case notMachineState(magic: UInt32)
  case unreadableFormat(UInt16)
  case unknownFeatures(UInt64)
  case trailingBytes(Int)
  case wrongKind(state: UInt8, machine: MachineKind)
  case wrongRAMSize(state: UInt64, machine: Int)
  case wrongVCPUCount(state: Int, machine: Int)
  case missingSection(MachineState.Section, index: Int)
  case repeatedSection(MachineState.Section, index: Int)
  case unknownSection(UInt16)
  case wrongSectionSize(MachineState.Section, bytes: Int)
  case missingDisk
  case implausible(String)
  case cannotExpress(format: UInt16, what: String)

  public var description: String {
    switch self {
    case .truncated(let needed, let available):
      "Machine state ends too early: \(needed) bytes are needed, \(available) are there"
    case .notMachineState(let magic):
      "This is no machine state: it begins with 0x\(String(magic, radix: 16))"
    case .unreadableFormat(let format):
      "Machine state has format \(format); this binary reads \(MachineStateFormat.oldest) to "
        + "\(MachineStateFormat.current)"
    case .unknownFeatures(let bits):
      "Machine state needs features that this binary does not have: 0x\(String(bits, radix: 16))"
    case .trailingBytes(let count): "Machine state is followed by \(count) bytes that belong to nothing"
    case .wrongKind(let state, let machine):
      "Machine state is of kind \(state), the machine is of kind \(machine.rawValue) (\(machine))"
    case .wrongRAMSize(let state, let machine):
      "Machine state is of a guest with \(state) bytes of RAM, the machine has \(machine)"
    case .wrongVCPUCount(let state, let machine):
      "Machine state is of a guest with \(state) vCPUs, the machine has \(machine)"
    case .missingSection(let section, let index): "Machine state has no section \(section) \(index)"
    case .repeatedSection(let section, let index):
      "Machine state has section \(section) \(index) twice"
    case .unknownSection(let id): "Machine state has a section of unknown kind \(id)"
    case .wrongSectionSize(let section, let bytes):
      "Section \(section) of the machine state has \(bytes) bytes, which cannot be"
    case .missingDisk: "Machine state is of a guest with a disk, and no disk was handed over"
    case .implausible(let what): "Machine state cannot be true: \(what)"
    case .cannotExpress(let format, let what):
      "Format \(format) of the machine state has no place for \(what)"
    }
  }
}
