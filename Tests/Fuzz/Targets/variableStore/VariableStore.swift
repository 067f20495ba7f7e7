import FuzzSupport
import MigrationCore

/// Bytes as a firmware's flash image: as they are, with the volume's checksum made right, and as the records of a
/// good store. Whatever is read was written in the file, and reading it twice gives the same.
@c(LLVMFuzzerTestOneInput)
public func fuzzVariableStore(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  guard let kind = input.first else { return 0 }
  let body = Array(input.dropFirst())
  switch kind % 3 {
  case 0: read(body)
  case 1: read(withChecksum(body))
  default: read(store(around: body))
  }
  return 0
}

private func read(_ file: [UInt8]) {
  let store: UEFIVariableStore
  do throws(UEFIVariableStoreError) {
    store = try UEFIVariableStore(decoding: file)
  } catch {
    precondition(!error.description.isEmpty, "a refusal without a sentence")
    precondition(
      FirmwareStanding(variableStore: file) == .storeUnreadable(error), "another fault the second time")
    return
  }
  var byteCount = 0
  for variable in store.variables {
    precondition(!variable.name.isEmpty, "a variable without a name")
    precondition(store[variable.name, variable.vendor] == variable, "a variable is there twice")
    byteCount += 60 + 2 * (variable.name.utf16.count + 1) + variable.data.count
  }
  precondition(byteCount <= file.count, "more was read than there is")
  let agrees = FirmwareStanding(variableStore: file).agrees
  let variable = store[UEFIVariable.liveMigration, .memoryEncryption]
  precondition(!agrees || variable?.data == [1], "a firmware agrees that has not said so")
}

/// The same file with the sum over the volume's header 0, as far as there is a header.
private func withChecksum(_ file: [UInt8]) -> [UInt8] {
  guard file.count >= 64 else { return file }
  var file = file
  (file[50], file[51]) = (0, 0)
  let headerLength = min(Int(file[48]) | Int(file[49]) << 8, file.count)
  var sum: UInt16 = 0
  for offset in stride(from: 0, to: headerLength - 1, by: 2) {
    sum &+= UInt16(file[offset]) | UInt16(file[offset + 1]) << 8
  }
  (file[50], file[51]) = (UInt8(truncatingIfNeeded: 0 &- sum), UInt8(truncatingIfNeeded: (0 &- sum) >> 8))
  return file
}

/// A good volume of one block and a good store, with the given bytes where its records are.
private func store(around records: [UInt8]) -> [UInt8] {
  let area = Array(records.prefix(65_000)) + [UInt8](repeating: 0xFF, count: 64)
  let count = 100 + area.count
  var file = [UInt8](repeating: 0, count: 16)
  file += [0x8D, 0x2B, 0xF1, 0xFF, 0x96, 0x76, 0x8B, 0x4C, 0xA9, 0x85, 0x27, 0x47, 0x07, 0x5B, 0x4F, 0x50]
  file += little(count, 8) + Array("_FVH".utf8) + little(0x4_FEFF, 4) + [72, 0, 0, 0, 0, 0, 0, 2]
  file += little(1, 4) + little(count, 4) + little(0, 8)
  file += [0x78, 0x2C, 0xF3, 0xAA, 0x7B, 0x94, 0x9A, 0x43, 0xA1, 0x80, 0x2E, 0x14, 0x4E, 0xC3, 0x77, 0x92]
  file += little(count - 72, 4) + [0x5A, 0xFE, 0, 0, 0, 0, 0, 0]
  return withChecksum(file + area)
}

private func little(_ value: Int, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}
