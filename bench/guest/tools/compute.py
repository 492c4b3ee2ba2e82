# Lists, dictionaries, strings, objects, floats, integers of many digits.


def primes(limit):
    flags = bytearray([1]) * limit
    for n in range(2, int(limit**0.5) + 1):
        if flags[n]:
            flags[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return [n for n in range(2, limit) if flags[n]]


def queens(size, row=0, columns=0, left=0, right=0):
    if row == size:
        return 1
    found = 0
    free = ~(columns | left | right) & ((1 << size) - 1)
    while free:
        bit = free & -free
        free ^= bit
        found += queens(size, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)
    return found


def words(count):
    seed = 1
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) % 2147483648
        yield "".join("abcdefghijklmnop"[seed >> shift & 15] for shift in (5, 9, 13))


class Account:
    def __init__(self, name):
        self.name = name
        self.entries = []

    def enter(self, amount):
        self.entries.append(amount)

    @property
    def balance(self):
        return sum(self.entries)


def accounts(count):
    books = {}
    for n, name in enumerate(words(count)):
        books.setdefault(name, Account(name)).enter((n * 37) % 101 - 50)
    ordered = sorted(books.values(), key=lambda account: (account.balance, account.name))
    return [f"{account.name}:{account.balance:+d}" for account in ordered[:5] + ordered[-5:]]


def mandelbrot(size):
    inside = 0
    for y in range(size):
        for x in range(size):
            c = complex(3 * x / size - 2, 2 * y / size - 1)
            z = 0j
            for _ in range(40):
                z = z * z + c
                if abs(z) > 2:
                    break
            else:
                inside += 1
    return inside


def digits(count):
    a, b = 0, 1
    while len(str(b)) < count:
        a, b = b, a + b
    return b % 10**20


print(sum(primes(300000)))
print(queens(7))
print(accounts(12000))
print(mandelbrot(48))
print(digits(500))
