"""Six STS3215 servos behind a pseudo-terminal: Feetech's protocol byte for byte, and servos that move at their speed.

A packet is FF FF, id, length, instruction (or error), parameters, and the complement of the sum of all after the two FF.
"""

from __future__ import annotations

import os
import select
import threading
import time
import tty

PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x82, 0x83
ALL = 0xFE
ID, TORQUE, GOAL, PRESENT = 5, 40, 42, 56
STEP = 4096  # per turn
FAST = 3400  # steps/s


class Servo:
    def __init__(self, number: int, at: int) -> None:
        self.memory = bytearray(128)
        self.memory[0:5] = bytes([3, 10, 0, 9, 3])  # firmware 3.10, model 777
        self.memory[ID] = number
        self.where, self.moved = float(at), time.monotonic()
        self.put(GOAL, at)
        self.put(PRESENT, at)

    def put(self, register: int, value: int) -> None:
        self.memory[register : register + 2] = int(value).to_bytes(2, "little")

    def get(self, register: int) -> int:
        return int.from_bytes(self.memory[register : register + 2], "little")

    def move(self) -> None:
        now = time.monotonic()
        reach, self.moved = FAST * (now - self.moved), now
        if self.memory[TORQUE]:
            self.where += max(-reach, min(reach, self.get(GOAL) - self.where))
        self.put(PRESENT, round(self.where))


class Bus:
    """`port` is what a driver opens. silent: ids that do not answer; garbled: answers with a wrong sum."""

    def __init__(self, at: dict[int, int]) -> None:
        self.servos = {number: Servo(number, where) for number, where in at.items()}
        self.silent: set[int] = set()
        self.garbled = False
        self.log: list[tuple[int, int, bytes]] = []  # id, instruction, parameters
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.port, self._slave = os.ttyname(slave), slave
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(2)
        for end in (self.master, self._slave):
            os.close(end)

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def angle(self, number: int) -> int:
        self.servos[number].move()
        return self.servos[number].get(PRESENT)

    def _serve(self) -> None:
        data = b""
        while not self._ending.is_set():
            if not select.select([self.master], [], [], 0.05)[0]:
                continue
            try:
                data += os.read(self.master, 1024)
            except OSError:
                return
            while (start := data.find(b"\xff\xff")) >= 0 and len(data) >= start + 4:
                size = data[start + 3] + 4
                if len(data) < start + size:
                    break
                packet, data = data[start : start + size], data[start + size :]
                if sum(packet[2:-1]) & 0xFF ^ 0xFF == packet[-1]:
                    self._obey(packet[2], packet[4], packet[5:-1])

    def _obey(self, number: int, instruction: int, parameters: bytes) -> None:
        self.log.append((number, instruction, parameters))
        if instruction == SYNC_WRITE:
            register, size, rows = parameters[0], parameters[1], parameters[2:]
            for i in range(0, len(rows), size + 1):
                self._write(rows[i], register, rows[i + 1 : i + 1 + size])
        elif instruction == SYNC_READ:
            for one in parameters[2:]:
                self._answer(one, self._read(one, parameters[0], parameters[1]))
        elif number in self.servos or number == ALL:
            if instruction == PING:
                self._answer(number, b"")
            elif instruction == READ:
                self._answer(number, self._read(number, parameters[0], parameters[1]))
            elif instruction == WRITE:
                self._write(number, parameters[0], parameters[1:])
                self._answer(number, b"")

    def _write(self, number: int, register: int, values: bytes) -> None:
        if number in self.servos and number not in self.silent:
            self.servos[number].move()
            self.servos[number].memory[register : register + len(values)] = values

    def _read(self, number: int, register: int, size: int) -> bytes:
        if number not in self.servos:
            return b""
        self.servos[number].move()
        return bytes(self.servos[number].memory[register : register + size])

    def _answer(self, number: int, values: bytes) -> None:
        if number not in self.servos or number in self.silent:
            return
        body = bytes([number, len(values) + 2, 0]) + values
        total = sum(body) & 0xFF ^ 0xFF
        os.write(self.master, b"\xff\xff" + body + bytes([total ^ 1 if self.garbled else total]))
