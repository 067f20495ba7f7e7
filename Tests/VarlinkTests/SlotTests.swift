import RegistryInterface
import Testing

@Suite("A slot's unit")
struct SlotTests {
  @Test(
    "is read back from its name, whatever the guest is called",
    arguments: ["vm1", "a", "x.service", "web-1", "a@b", "baton-vmm-b@vm1.service"], Slot.allCases)
  func roundTrip(_ guest: String, _ slot: Slot) {
    let unit = SlotUnit(slot.unit(of: guest))
    #expect(unit?.slot == slot)
    #expect(unit?.guest == guest)
  }

  @Test("has the name that systemd starts")
  func name() {
    #expect(Slot.a.unit(of: "vm1") == "baton-vmm-a@vm1.service")
    #expect(Slot.b.unit(of: "vm1") == "baton-vmm-b@vm1.service")
    #expect(Slot.a.other == .b && Slot.b.other == .a)
  }

  @Test(
    "is nothing else",
    arguments: [
      "", "baton-vmm-a@vm1", "baton-vmm-a@.service", "baton-vmm-a.service", "baton-vmm-c@vm1.service",
      "baton-vmm@vm1.service", "xbaton-vmm-a@vm1.service", "baton-vmm-a@vm1.scope", "BATON-VMM-A@vm1.service",
    ])
  func others(_ unit: String) {
    #expect(SlotUnit(unit) == nil)
  }
}
