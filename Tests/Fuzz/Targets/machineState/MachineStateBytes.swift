import EncryptionStatus
import FuzzSupport
import KVM

@testable import ReferenceVMM

/// Any bytes as saved machine state: a decoder refuses them, or what it read is exactly what it would write.
///
/// The first byte says what the rest is: a whole state, whose sections are then decoded as well, or one section.
@c(LLVMFuzzerTestOneInput)
public func fuzzMachineState(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  guard let kind = input.first else { return 0 }
  let bytes = Array(input.dropFirst())
  switch kind % 8 {
  case 0: devices(bytes, format: 1)
  case 1: devices(bytes, format: 2)
  case 2: softwareVCPU(bytes)
  case 3: kvmVCPU(bytes)
  case 4: kvmBoard(bytes)
  case 5: memoryStatus(bytes)
  default: whole(bytes)
  }
  return 0
}

private func whole(_ bytes: [UInt8]) {
  guard let state = try? MachineState(decoding: bytes) else { return }
  precondition(state.encoded() == bytes, "a state changed on its second journey")
  for section in MachineState.Section.allCases {
    for index in 0...state.vcpuCount {
      guard let content = try? state.bytes(of: section, index: index) else { continue }
      switch section {
      case .devices: devices(content, format: state.format)
      case .softwareVCPU: softwareVCPU(content)
      case .kvmVCPU: kvmVCPU(content)
      case .kvmBoard: kvmBoard(content)
      case .memoryStatus: memoryStatus(content)
      }
    }
  }
}

private func devices(_ bytes: [UInt8], format: UInt16) {
  guard let state = try? DeviceState(decoding: bytes, format: format) else { return }
  precondition((try? state.encoded(format: format)) == bytes, "device state changed on its second journey")
}

private func softwareVCPU(_ bytes: [UInt8]) {
  guard let registers = try? SoftwareVCPU.Registers(decoding: bytes) else { return }
  precondition(registers.encoded() == bytes, "a software vCPU changed on its second journey")
}

private func kvmVCPU(_ bytes: [UInt8]) {
  guard let state = try? KVMVCPUState(decoding: bytes) else { return }
  // A TSC offset that is not there may carry any bytes.
  let encoded = state.encoded()
  precondition((try? KVMVCPUState(decoding: encoded)) == state, "a KVM vCPU changed on its second journey")
  precondition(encoded.count == bytes.count, "a KVM vCPU's state has another size")
}

private func kvmBoard(_ bytes: [UInt8]) {
  guard let state = try? KVMBoardState(decoding: bytes) else { return }
  precondition(state.encoded() == bytes, "a KVM board changed on its second journey")
}

private func memoryStatus(_ bytes: [UInt8]) {
  guard let status = try? MemoryEncryptionStatus(decoding: bytes) else { return }
  precondition(
    (try? MemoryEncryptionStatus(decoding: status.encoded())) == status,
    "what a guest said of its memory changed on its second journey")
}
