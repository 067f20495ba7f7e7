import BatonWire

/// Reading saved machine state with the reader of records; only the error is the state's own.
extension ByteReader {
  mutating func take<Value: FixedWidthInteger>(_ type: Value.Type) throws(MachineStateError) -> Value {
    let available = remaining
    do throws(WireError) { return try read(type, "machine state") } catch {
      throw .truncated(needed: Value.bitWidth / 8, available: available)
    }
  }

  mutating func take(count: Int) throws(MachineStateError) -> [UInt8] {
    let available = remaining
    do throws(WireError) { return try readRaw(count, "machine state") } catch {
      throw .truncated(needed: count, available: available)
    }
  }
}
